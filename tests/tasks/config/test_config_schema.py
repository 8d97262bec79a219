"""The JSON Schema that editors use and the loader agree, as far as JSON Schema can say it."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tasks.config.document import read_document
from tasks.config.load import parse_project
from tasks.errors import ConfigInvalid
from tasks.model import json_schema

FULL: dict[str, Any] = {
    "version": 1,
    "models": [
        {
            "name": "wine",
            "notebook": "wine.ipynb",
            "parameters": {"n_estimators": 100},
            "environment": {
                "base_image": "python:3.12@sha256:" + "0" * 64,
                "requirements": "requirements.lock",
            },
            "gate": {
                "metric": "accuracy",
                "better": "higher",
                "minimum": 0.9,
                "tolerance": 0.01,
                "evaluate": {"function": "correct", "confidence": 0.95},
            },
            "image": "registry.example.com/models/wine",
            "fleet": {
                "repository": "https://git.example.com/fleet.git",
                "branch": "main",
                "path": "apps/wine",
                "mode": "push",
            },
            "rollout": {"namespace": "models", "canary": "wine", "timeout": "30m", "on_failure": "revert"},
            "schedule": {"cron": "0 3 * * 1", "timezone": "Europe/Berlin"},
            "approval": "none",
        }
    ],
}
SCHEMA = Draft202012Validator(json_schema())
VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        " ",
        "x",
        "/x",
        "a/../b",
        "..",
        "a\\b",
        "X_y",
        "x" * 64,
        [],
        ["x"],
        {},
        {"x": 1},
        "30",
        "1h30m",
        "0m1s",
        "wine.ipynb",
        "lower",
        "keep",
        "-x",
        "a b",
        "host/Upper",
        "host:80/x",
        "pull-request",
        "../sources",
        "host/a..b",
        "main.lock",
        "a//b",
        "a/",
        "a@{b",
        "`a`",
        "HEAD",
    ]
)


def changed(location: tuple[str, ...], value: object) -> dict[str, Any]:
    """The full example with one value of the model, or of the top, replaced."""
    project = deepcopy(FULL)
    parent = project if location[0] in project else project["models"][0]
    for key in location[:-1]:
        parent = parent[key]
    parent[location[-1]] = value
    return project


def removed(location: tuple[str, ...]) -> dict[str, Any]:
    project = deepcopy(FULL)
    parent = project["models"][0]
    for key in location[:-1]:
        parent = parent[key]
    del parent[location[-1]]
    return project


def loads(project: dict[str, Any]) -> bool:
    try:
        parse_project(yaml.safe_dump(project), "modelflight.yaml")
    except ConfigInvalid:
        return False
    return True


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


def test_the_full_example_is_accepted_by_both() -> None:
    assert SCHEMA.is_valid(FULL)
    assert loads(FULL)


def test_a_gate_of_several_metrics_is_accepted_by_both() -> None:
    several = changed(("gate",), [{"metric": "accuracy"}, {"metric": "loss", "better": "lower"}])
    assert SCHEMA.is_valid(several)
    assert loads(several)


WRONG = [
    changed(("version",), 2),
    changed(("version",), True),
    changed(("models",), []),
    changed(("colour",), "red"),
    changed(("name",), "Wine"),
    changed(("name",), "x" * 41),
    changed(("notebook",), "wine.py"),
    changed(("notebook",), "../wine.ipynb"),
    changed(("parameters", "x"), [1]),
    changed(("parameters", "x"), None),
    changed(("environment",), None),
    changed(("environment", "base_image"), "python:3.12"),
    changed(("environment", "requirements"), "/lock"),
    changed(("gate", "metric"), ""),
    changed(("gate", "better"), "lower"),
    changed(("gate", "maximum"), 1),
    changed(("gate", "minimum"), "0.9"),
    changed(("gate", "tolerance"), -0.1),
    changed(("gate",), []),
    changed(("gate",), ["accuracy"]),
    changed(("gate",), [{"metric": "a"}, {"metric": "b", "better": "lower", "minimum": 1}]),
    changed(("image",), "registry.example.com/wine:latest"),
    changed(("fleet", "branch"), "a b"),
    changed(("fleet", "mode"), "pull"),
    changed(("fleet", "path"), "apps/../.."),
    changed(("rollout", "canary"), "wine_"),
    changed(("rollout", "timeout"), 30),
    changed(("rollout", "timeout"), "30"),
    changed(("rollout", "on_failure"), "retry"),
    changed(("schedule", "timezone"), None),
    changed(("approval",), "always"),
    *(
        removed(location)
        for location in [
            ("name",),
            ("notebook",),
            ("gate",),
            ("image",),
            ("fleet",),
            ("gate", "metric"),
            ("fleet", "repository"),
            ("fleet", "path"),
            ("rollout", "canary"),
            ("schedule", "cron"),
        ]
    ),
]


@pytest.mark.parametrize("project", WRONG)
def test_a_wrong_file_is_rejected_by_both(project: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid(project)
    assert not loads(project)


@settings(max_examples=300, deadline=None)
@given(
    location=st.sampled_from(
        [
            *((key,) for key in FULL["models"][0]),
            # Not repository, cron and timezone: what they may be takes more than JSON Schema can say.
            *(("environment", key) for key in ("base_image", "requirements", "x")),
            *(("gate", "evaluate", key) for key in ("function", "confidence", "x")),
            *(
                ("gate", key)
                for key in ("metric", "better", "minimum", "maximum", "tolerance", "evaluate", "x")
            ),
            *(("fleet", key) for key in ("branch", "path", "mode", "x")),
            *(("rollout", key) for key in ("namespace", "canary", "timeout", "on_failure", "x")),
            ("parameters", "x"),
        ]
    ),
    value=VALUES,
)
def test_schema_and_loader_agree_on_any_single_change(location: tuple[str, ...], value: object) -> None:
    project = changed(location, value)
    assert SCHEMA.is_valid(read_document(yaml.safe_dump(project)).value) == loads(project)


def test_every_default_is_a_value_that_may_be_written() -> None:
    schema = json_schema()
    fields = [
        field
        for kind in schema["$defs"].values()
        for field in kind["properties"].values()
        if "default" in field
    ]
    assert len(fields) > 10
    for field in fields:
        assert Draft202012Validator({**field, "$defs": schema["$defs"]}).is_valid(field["default"]), field


def test_what_a_pattern_wants_is_told_in_words() -> None:
    properties = json_schema()["$defs"]
    assert properties["Model"]["properties"]["name"]["patternErrorMessage"].startswith("lower-case letters")
    assert "patternErrorMessage" in properties["Environment"]["properties"]["base_image"]["anyOf"][0]

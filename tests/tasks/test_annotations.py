"""What travels on a model image, and what is read back from images that others made."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.annotations import METRICS, image_annotations, metrics_of
from tasks.artifact import Artifact
from tasks.inputs import Inputs, Version
from tasks.model import Model
from tasks.release import CommitSha, ReleaseId, ReleasePlan, Source, TrainedModel

COMMIT = CommitSha("0123456789abcdef" * 2 + "01234567")


def plan(attempt: int = 1) -> ReleasePlan:
    model = Model.model_validate(
        {
            "name": "wine",
            "notebook": "wine.ipynb",
            "gate": {"metric": "score"},
            "image": "registry.example.com/models/wine",
            "fleet": {"repository": "../fleet.git", "path": "apps/wine"},
        }
    )
    source = Source(
        "https://git.example.com/n.git", COMMIT, datetime(2026, 1, 2, tzinfo=UTC), "s", Path("/d")
    )
    inputs = Inputs("definition", "lock", {"https://data.example.com/wine.csv": Version("etag")})
    return ReleasePlan(
        ReleaseId.of("wine", COMMIT, attempt), model, source, "https://git.example.com/fleet.git", inputs
    )


def trained(metrics: dict[str, float]) -> TrainedModel:
    return TrainedModel(uuid4(), Artifact("file:///model", ()), metrics)


def test_the_image_says_which_commit_it_is_of_and_not_which_attempt_or_address_made_it():
    annotations = image_annotations(plan(1), trained({"score": 0.5}))
    assert annotations == image_annotations(plan(2), trained({"score": 0.5}))
    assert not [value for value in annotations.values() if "git.example.com" in value]
    assert annotations["org.opencontainers.image.revision"] == COMMIT
    assert annotations["org.opencontainers.image.version"] == COMMIT[:12]
    assert annotations["org.opencontainers.image.title"] == "wine"


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.integers()))
def test_metrics_are_read_back_as_they_were(metrics):
    assert metrics_of(image_annotations(plan(), trained(metrics))) == metrics


def test_a_metric_that_json_does_not_have_is_null():
    metrics = {"a": math.nan, "b": math.inf, "c": 1.0}
    text = image_annotations(plan(), trained(metrics))[METRICS]
    strict = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert strict == {"a": None, "b": None, "c": 1.0}


@pytest.mark.parametrize(
    "annotations",
    [
        None,
        {},
        {"other": "1"},
        {METRICS: ""},
        {METRICS: "{"},
        {METRICS: "[1]"},
        {METRICS: "0.5"},
        {METRICS: None},
        {METRICS: "[" * 100_000},
        {METRICS: "9" * 10_000},
    ],
)
def test_an_image_without_metrics_of_ours_has_none(annotations):
    assert metrics_of(annotations) is None

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.config.load import load_project, parse_project
from tasks.errors import ConfigInvalid
from tasks.model import Project

FULL = f"""\
version: 1
models:
  - name: wine
    notebook: wine.ipynb
    parameters: {{n_estimators: 100}}
    environment: {{base_image: "python:3.12@sha256:{"0" * 64}", requirements: requirements.lock}}
    gate: {{metric: accuracy, better: higher, minimum: 0.9, tolerance: 0.01}}
    image: registry.example.com/models/wine
    fleet: {{repository: https://git.example.com/fleet.git, branch: main, path: apps/wine, mode: push}}
    rollout: {{namespace: models, canary: wine, timeout: 30m, on_failure: revert}}
    schedule: {{cron: "0 3 * * 1", timezone: Europe/Berlin}}
    approval: none
"""
MODEL = """\
version: 1
models:
  - name: wine
    notebook: wine.ipynb
    image: registry.example.com/wine
    fleet: {repository: ../fleet.git, path: apps/wine}
    gate: {metric: accuracy}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigInvalid) as caught:
        parse_project(text, "modelflight.yaml")
    return [line.removeprefix("modelflight.yaml:") for line in caught.value.why.splitlines()]


def parameters(text: str) -> dict[str, object]:
    return dict(
        parse_project(MODEL + f"    parameters: {{{text}}}\n", "modelflight.yaml").models[0].parameters
    )


def test_reads_every_setting() -> None:
    model = parse_project(FULL, "modelflight.yaml").models[0]
    assert model.rollout is not None
    assert model.schedule is not None
    assert model.environment.base_image == "python:3.12@sha256:" + "0" * 64
    assert [(each.metric, each.limit, each.tolerance) for each in model.gate] == [("accuracy", 0.9, 0.01)]
    assert model.rollout.timeout == timedelta(minutes=30)
    assert model.schedule.timezone == "Europe/Berlin"
    assert model.parameters == {"n_estimators": 100}


def test_reads_the_file_or_the_folder_that_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "modelflight.yaml"
    file.write_text(FULL, encoding="utf-8-sig")
    assert load_project(tmp_path) == load_project(file) == parse_project(FULL, "x")


def test_a_project_survives_json() -> None:
    project = parse_project(FULL, "modelflight.yaml")
    assert Project.model_validate(json.loads(project.model_dump_json())) == project


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01",
        "2024-01-01T10:00:00Z",
        "on",
        "off",
        "yes",
        "no",
        "y",
        "1_000",
        "0o17",
        "017",
        "0x1F",
        "12:30:00",
        "1.2.3",
        "+",
        "-",
        ".",
        "e3",
        "1e",
        "tRue",
        "'5'",
        '"true"',
        "'~'",
    ],
)
def test_what_only_yaml_1_1_converts_stays_text(text: str) -> None:
    assert parameters(f"x: {text}") == {"x": text.strip("'\"")}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+7", 7),
        ("-0", 0),
        ("0", 0),
        ("3.0", 3.0),
        ("true", True),
        ("False", False),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_numbers_and_booleans_of_yaml_1_2_are_converted(text: str, value: object) -> None:
    read = parameters(f"x: {text}")["x"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text", [".nan", ".inf", "-.INF", "1e999", pytest.param("9" * 5000, id="5000 digits")]
)
def test_a_parameter_is_finite(text: str) -> None:
    assert problems(MODEL + f"    parameters: {{x: {text}}}") == [
        "8: models[0].parameters.x: wanted a finite number"
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [("[1]", "a list"), ("{bool: 1}", "a mapping"), ("null", "nothing"), ("", "nothing")],
)
def test_a_wrong_parameter_is_one_problem(text: str, found: str) -> None:
    assert problems(MODEL + f"    parameters:\n      x: {text}\n") == [
        f"9: models[0].parameters.x: wanted a whole number, number, true/false or text, found {found}"
    ]


def test_every_problem_is_reported_with_its_line() -> None:
    text = """\
version: 2
models:
  - name: Wine
    notebok: wine.ipynb
    image: registry.example.com/wine:latest
    parameters:
    environment: {base_image: "python:3.12", requirements: ../lock}
    gate:
      metric: 1
      better: lower
      minimum: 0.5
      tolerance: -1
    fleet:
      repository: ../fleet.git
      path: /apps
      mode: pull
      branch: -x
    rollout: {canary: wine, timeout: 30}
    schedule: {cron: "0 3 * *", timezone: Berlin}
    approval: yes
"""
    assert [line.split(": ")[:2] for line in problems(text)] == [
        ["1", "version"],
        ["3", "models[0].name"],
        ["3", "models[0].notebook"],
        ["4", "models[0].notebok"],
        ["5", "models[0].image"],
        ["6", "models[0].parameters"],
        ["7", "models[0].environment.base_image"],
        ["7", "models[0].environment.requirements"],
        ["9", "models[0].gate.metric"],
        ["11", "models[0].gate.minimum"],
        ["12", "models[0].gate.tolerance"],
        ["15", "models[0].fleet.path"],
        ["16", "models[0].fleet.mode"],
        ["17", "models[0].fleet.branch"],
        ["18", "models[0].rollout.timeout"],
        ["19", "models[0].schedule.cron"],
        ["19", "models[0].schedule.timezone"],
        ["20", "models[0].approval"],
    ]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (
            "gate: {metric: a, Minimun: 1}",
            "7: models[0].gate.Minimun: unknown key; did you mean minimum? "
            "allowed here: better, evaluate, maximum, metric, minimum, tolerance",
        ),
        (
            "gate: {metric: a, 'x\\e': 1}",
            "7: models[0].gate.'x\\\\e': unknown key; "
            "allowed here: better, evaluate, maximum, metric, minimum, tolerance",
        ),
        (
            "gate: {}",
            "7: models[0].gate.metric: this key is missing "
            "(A metric that the notebook's pipeline-metrics cell prints)",
        ),
        ("gate: [metric]", "7: models[0].gate[0]: wanted keys with values, found text"),
        ("gate: []", "7: models[0].gate: the list is empty; wanted at least one entry"),
        ("gate: 0.9", "7: models[0].gate: wanted keys with values, found a number"),
        (
            "gate:\n    - {metric: a}\n    - {metric: b, Maximum: 1}",
            "9: models[0].gate[1].Maximum: unknown key; did you mean maximum? "
            "allowed here: better, evaluate, maximum, metric, minimum, tolerance",
        ),
        (
            "gate:\n    - {metric: a}\n    - {better: lower}",
            "9: models[0].gate[1].metric: this key is missing "
            "(A metric that the notebook's pipeline-metrics cell prints)",
        ),
        ("gate:", "7: models[0].gate: wanted keys with values, found nothing"),
        ("gate: {metric: true}", "7: models[0].gate.metric: wanted text, found true or false"),
        ("gate: {metric: ''}", "7: models[0].gate.metric: wanted at least 1 character"),
        (
            "gate: {metric: a, minimum: '1'}",
            "7: models[0].gate.minimum: wanted a number, found text in quotes",
        ),
        (
            "gate: {metric: a, minimum: .nan}",
            "7: models[0].gate.minimum: wanted a finite number, found a number",
        ),
        (
            "gate: {metric: a, evaluate: f}",
            "7: models[0].gate.evaluate: wanted keys with values, found text",
        ),
        (
            "gate: {metric: a, evaluate: {function: a.b}}",
            "7: models[0].gate.evaluate.function: wanted the name of a function in the notebook",
        ),
        (
            "gate: {metric: a, evaluate: {function: f, confidence: 95}}",
            "7: models[0].gate.evaluate.confidence: wanted less than 1",
        ),
        (
            "gate: {metric: a, evaluate: {function: f, confidence: 0.5}}",
            "7: models[0].gate.evaluate.confidence: wanted greater than 0.5",
        ),
        ("gate: {metric: a, tolerance: -1}", "7: models[0].gate.tolerance: wanted at least 0"),
        (
            "gate: {metric: a, better: 1}",
            "7: models[0].gate.better: wanted 'higher' or 'lower', found something else (a whole number)",
        ),
        (
            "gate: {metric: a, maximum: 1}\n    name: wine",
            "8: models[0].name: this key stands twice, in lines 3 and 8",
        ),
        (
            "gate: {metric: a, better: lower, minimum: 1}",
            "7: models[0].gate.minimum: a minimum does not go with `better: lower`; change one of them",
        ),
        (
            "gate: {metric: a}\n    environment: {base_image: python}",
            "8: models[0].environment.base_image: "
            "wanted an image pinned by digest: name@sha256:<64 hex digits>",
        ),
        (
            "gate: {metric: a}\n    <<: {approval: none}",
            "8: models[0]: merge keys (<<) are not part of YAML 1.2; write the keys out",
        ),
        ("gate: {metric: a}\n    [a]: b", "8: models[0]: a key is text, not a mapping or a list"),
    ],
)
def test_a_problem_is_told_in_the_users_words(wrong: str, problem: str) -> None:
    assert problem in problems(MODEL.replace("gate: {metric: accuracy}", wrong))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: the file is empty; it begins with `version: 1` and lists `models:`"),
        ("# later\n", "1: the file is empty; it begins with `version: 1` and lists `models:`"),
        ("- 1\n", "1: wanted keys with values, found a list"),
        ("a:\n\tb: 1\n", "2:1: a tab stands here; YAML is indented and aligned with spaces"),
        ("a: 1\ncron: * * * * *\n", "2:8: a value that starts with '*' needs quotes"),
        ("- x\na: 1\n", "2:1: this line is not indented like the lines that it belongs to"),
        ("a: 1\n---\nb: 2\n", "2:1: a second YAML document starts here; the file holds one"),
        ("a: *b\n", "1:4: no valid YAML: found undefined alias 'b'"),
        ("a: 1\nb: \x07\n", "2:4: the control character U+0007 cannot stand in YAML"),
        ('a: "\\ud800"\n', "1:4: an escape stands for half a character; write the character itself"),
        (
            "a: !!python/name:os.system\n",
            "1:4: the tag '!!python/name:os.system' is not accepted; put text in quotes",
        ),
        ("&a [*a]\n", "1:5: an alias cannot stand inside of what it refers to"),
        ("[" * 100_000, "1:22: nested more than 20 deep"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_problem(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_a_colon_out_of_place_names_line_and_column() -> None:
    assert problems("a: b: c\n")[0].startswith("1:5: a ':' stands where no key can be")


def test_an_empty_list_of_models_is_a_problem() -> None:
    assert problems("version: 1\nmodels: []\n") == ["2: models: the list is empty; wanted at least one entry"]


@pytest.mark.parametrize("version", ["true", "1.0", "'1'", "2"])
def test_only_the_whole_number_one_is_a_version(version: str) -> None:
    assert [line.split(",")[0] for line in problems(MODEL.replace("version: 1", f"version: {version}"))] == [
        "1: version: wanted 1"
    ]


def test_repeated_names_are_reported_beside_other_problems() -> None:
    second = MODEL.removeprefix("version: 1\nmodels:\n").replace("metric: accuracy", "metric: 1")
    assert problems(MODEL + second) == [
        "8: models[1].name: each model has a name of its own; line 3 uses this one",
        "12: models[1].gate.metric: wanted text, found a whole number",
    ]


def test_several_metrics_are_a_list_and_one_is_a_list_of_one() -> None:
    one = parse_project(MODEL, "modelflight.yaml")
    listed = parse_project(MODEL.replace("{metric: accuracy}", "[{metric: accuracy}]"), "modelflight.yaml")
    assert one == listed
    several = MODEL.replace(
        "{metric: accuracy}", "[{metric: accuracy}, {metric: loss, better: lower, maximum: 0.5}]"
    )
    project = parse_project(several, "modelflight.yaml")
    assert [(each.metric, each.limit) for each in project.models[0].gate] == [
        ("accuracy", None),
        ("loss", 0.5),
    ]
    assert Project.model_validate(json.loads(project.model_dump_json())) == project


def test_repeated_metrics_are_reported_beside_other_problems_of_the_same_gate_only() -> None:
    gate = "gate:\n    - {metric: a}\n    - {metric: b, tolerance: -1}\n    - {metric: a, better: lower}\n"
    text = MODEL.replace("gate: {metric: accuracy}\n", gate)
    second = text.removeprefix("version: 1\nmodels:\n").replace("name: wine", "name: beer")
    assert problems(text + second.replace("tolerance: -1", "tolerance: 1")) == [
        "9: models[0].gate[1].tolerance: wanted at least 0",
        "10: models[0].gate[2].metric: a metric stands in the gate once; line 8 uses this one",
        "18: models[1].gate[2].metric: a metric stands in the gate once; line 16 uses this one",
    ]


def test_an_alias_stands_for_its_value() -> None:
    text = MODEL.replace("{metric: accuracy}", "&gate {metric: accuracy}") + MODEL.removeprefix(
        "version: 1\nmodels:\n"
    ).replace("{metric: accuracy}", "*gate").replace("name: wine", "name: beer")
    first, second = parse_project(text, "modelflight.yaml").models
    assert first.gate == second.gate


def test_aliases_that_stand_for_billions_of_values_are_refused() -> None:
    laughs = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    assert problems("a0: &a0 [x]\n" + laughs)[0].endswith(
        "the file holds too many values, with what its aliases stand for"
    )


@pytest.mark.parametrize(
    "written",
    [
        "https://user:hunter2@host/x",
        "https://user:hun/hunter2@host/x",
        "user:hunter2@host/x",
        "'https://host/x?token=hunter2'",
        "'https://[hunter2/x'",
        '"x\\nhunter2"',
        "[hunter2]",
        "{hunter2: 1}",
    ],
)
def test_a_wrong_repository_address_is_never_repeated(written: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse_project(
            MODEL.replace("repository: ../fleet.git,", f"repository: {written}\n     ,"), "modelflight.yaml"
        )
    assert "models[0].fleet.repository: " in caught.value.why
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_credential_in_a_key_is_not_repeated() -> None:
    text = MODEL.replace("path: apps/wine", "path: apps/wine, 'https://user:hunter2@host': 1")
    assert "hunter2" not in "".join(problems(text))


def test_a_long_list_of_problems_is_cut() -> None:
    wrong = ", ".join(f"x{number}: null" for number in range(150))
    lines = problems(MODEL + f"    parameters: {{{wrong}}}\n")
    assert len(lines) == 101
    assert lines[-1] == "and 50 more"


def test_the_count_of_problems_is_told() -> None:
    with pytest.raises(ConfigInvalid, match=r"^modelflight.yaml has 2 problems\.\n"):
        parse_project("a: 1\nversion: 1\n", "modelflight.yaml")


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="modelflight init") as caught:
        load_project(tmp_path)
    assert caught.value.where == str(tmp_path / "modelflight.yaml")


def test_an_unreadable_file_is_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "modelflight.yaml").write_text(FULL)
    monkeypatch.setattr("os.open", refuse)  # file modes do not stop root, as whom containers run tests
    with pytest.raises(ConfigInvalid, match="Permission denied"):
        load_project(tmp_path)


@pytest.mark.parametrize("target", ["/proc/self/environ", "/dev/zero", "fifo"])
def test_a_file_that_leads_somewhere_else_is_not_read(target: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "modelflight.yaml").symlink_to(target)
    for path in (tmp_path, tmp_path / "modelflight.yaml"):
        with pytest.raises(ConfigInvalid, match=r"modelflight\.yaml cannot be read") as caught:
            load_project(path)
        assert caught.value.why in ("It is a link that leads out of the folder.", "It is no regular file.")
        assert caught.value.where == str(tmp_path / "modelflight.yaml")


def test_a_file_in_another_encoding_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "modelflight.yaml").write_bytes(b"version: 1\n# gr\xfcn\n")
    with pytest.raises(ConfigInvalid) as caught:
        load_project(tmp_path)
    assert caught.value.why == "modelflight.yaml:2: not UTF-8; save the file in this encoding"


def test_one_mebibyte_is_the_largest_file(tmp_path: Path) -> None:
    file = tmp_path / "modelflight.yaml"
    comment = "# " + "x" * (1024 * 1024 - len(FULL) - 3) + "\n"
    file.write_text(FULL + comment)
    assert load_project(file) == parse_project(FULL, "x")
    file.write_text(FULL + comment + "#")
    with pytest.raises(ConfigInvalid, match="larger than 1 MiB"):
        load_project(file)
    with pytest.raises(ConfigInvalid, match="larger than 1 MiB"):
        parse_project(FULL + comment + "#", "modelflight.yaml")


def test_loading_needs_no_heavy_library() -> None:
    program = (
        "import sys; from tasks.config.load import parse_project; parse_project(sys.stdin.read(), 'x'); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    modules = subprocess.run(
        [sys.executable, "-c", program], input=FULL, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "pydantic" in modules
    assert not {"prefect", "kfp", "kale", "git", "kubernetes", "boto3", "numpy"} & set(modules)

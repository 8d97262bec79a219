"""The verbs of the command line, as a person or a CI job calls them."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from deployments.cli import main
from tests.fakes.registry import Registry
from tests.repositories import EXAMPLE, SMALL_SETTINGS, TOP, Repositories, code, git, notebook, small_notebook


def modelflight(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def error_of(result: Result) -> dict[str, str]:
    return json.loads(result.stdout)["error"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the small notebook and its settings."""
    (tmp_path / "small.ipynb").write_text(small_notebook())
    (tmp_path / "modelflight.yaml").write_text(SMALL_SETTINGS)
    return tmp_path


def test_check_accepts_the_example_and_lists_its_steps():
    result = modelflight("check", str(EXAMPLE), "--output", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "models": [
            {
                "name": "wine",
                "notebook": "wine.ipynb",
                "steps": ["load", "split", "train", "evaluate"],
                "warnings": [],
            }
        ]
    }


def test_check_reports_all_problems_with_their_lines_and_exit_code_2(project: Path):
    text = SMALL_SETTINGS.replace("minimum: 0.5", "minimum: high").replace("image:", "imgae:")
    (project / "modelflight.yaml").write_text(text)
    result = modelflight("check", str(project))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "modelflight.yaml:6" in result.stderr
    assert "minimum" in result.stderr
    assert "modelflight.yaml:7" in result.stderr
    assert "imgae" in result.stderr


def test_the_schema_accepts_the_example():
    import yaml

    result = modelflight("check", "--schema")
    jsonschema.validate(yaml.safe_load((EXAMPLE / "modelflight.yaml").read_text()), json.loads(result.stdout))


def test_init_writes_a_file_that_check_accepts_and_never_overwrites(tmp_path: Path):
    (tmp_path / "My Wine_2.ipynb").write_text(
        notebook(
            code("trees = 10\nlabel = 'a: \"b\" # c'\nquick = True", "pipeline-parameters"),
            code("model = trees\nlog_loss = accuracy = 1", "step:train"),
            code("print(log_loss)\nprint(accuracy)", "pipeline-metrics"),
        )
    )
    first = modelflight("init", str(tmp_path))
    written = (tmp_path / "modelflight.yaml").read_text()
    assert first.exit_code == 0
    assert "name: my-wine-2" in written
    assert "better: lower" in written
    assert 'parameters: {trees: 10, label: "a: \\"b\\" # c", quick: true}' in written
    assert modelflight("check", str(tmp_path)).exit_code == 0

    again = modelflight("init", str(tmp_path), "--output", "json")
    assert again.exit_code == 2
    assert "already" in error_of(again)["what"]
    assert (tmp_path / "modelflight.yaml").read_text() == written


def test_init_says_what_each_notebook_lacks(tmp_path: Path):
    (tmp_path / "untagged.ipynb").write_text(notebook(code("model = 1")))
    (tmp_path / "unmeasured.ipynb").write_text(notebook(code("model = 1", "step:train")))
    result = modelflight("init", str(tmp_path), "--output", "json")
    assert result.exit_code == 2
    assert "untagged.ipynb: The notebook has no tagged steps" in error_of(result)["why"]
    assert "unmeasured.ipynb: no cell tagged pipeline-metrics" in error_of(result)["why"]
    assert not (tmp_path / "modelflight.yaml").exists()


def test_check_tells_what_kale_would_not(project: Path):
    document = json.loads(small_notebook())
    document["cells"][1]["metadata"]["tags"].append("limit:cpu:1")
    (project / "small.ipynb").write_text(json.dumps(document))
    warned = modelflight("check", str(project), "--output", "json")
    assert warned.exit_code == 0
    (warning,) = json.loads(warned.stdout)["models"][0]["warnings"]
    assert warning.startswith("cell 2: Kale drops 'limit:cpu:1'")
    assert warned.stderr.strip() == f"Note: small.ipynb, {warning}"

    (project / "small.ipynb").write_text(small_notebook(score="scores = model\nscore = scoers"))
    refused = modelflight("check", str(project))
    assert refused.exit_code == 2
    assert "cell 3, line 2: 'scoers' is not defined in step 'evaluate'" in refused.stderr


def test_compile_and_run_and_pack_work_one_by_one(project: Path, home: Path):
    pipeline = project / "small.yaml"
    compiled = modelflight(
        "compile", str(project), "-p", "weight=4", "--to", str(pipeline), "--output", "json"
    )
    assert compiled.exit_code == 0, compiled.output
    assert json.loads(compiled.stdout)["steps"] == ["train", "evaluate"]

    by_default = modelflight("run", str(pipeline), "--output", "json")
    assert by_default.exit_code == 0, by_default.output
    assert json.loads(by_default.stdout)["metrics"] == {"score": 0.4}
    assert "train-step done" in by_default.stderr
    overridden = json.loads(modelflight("run", str(pipeline), "-p", "weight=7", "--output", "json").stdout)
    assert overridden["metrics"] == {"score": 0.7}

    layout = project / "images"
    packing = ("pack", overridden["directory"], "--to", f"oci:{layout}:v1", "--annotation", "team=wine")
    packed = json.loads(modelflight(*packing, "--output", "json").stdout)
    blob = (layout / "blobs" / packed["digest"].replace(":", "/")).read_bytes()
    assert packed["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert json.loads(blob)["annotations"]["team"] == "wine"
    assert modelflight(*packing).exit_code == 0


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("weight=heavy", "must be a whole number"),
        ("weight", "sets no parameter"),
        ("wieght=3", "no parameter 'wieght'"),
    ],
)
def test_compile_refuses_parameters_before_it_starts(
    project: Path, home: Path, assignment: str, complaint: str
):
    result = modelflight("compile", str(project), "-p", assignment, "--output", "json")
    assert result.exit_code == 2
    assert complaint in error_of(result)["what"]
    assert not home.exists()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a model's file."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("abc")
    return tmp_path / "model"


def test_pack_puts_the_same_image_into_a_folder_and_into_a_registry(
    model: Path, home: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wine = f"{registry.address}/models/wine"

    def packed(*target: str) -> dict[str, str]:
        result = modelflight("pack", str(model), *target, "--output", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    layout = packed("--to", f"oci:{tmp_path}/layout")
    assert layout["stored_in"] == f"oci:{tmp_path}/layout"
    assert layout["tag"] == layout["digest"][7:19]
    assert packed("--to", wine) == {**layout, "stored_in": wine}
    assert packed("--to", f"{wine}:v1") == {**layout, "tag": "v1", "stored_in": wine}
    assert registry.repositories["models/wine"].tags == {
        "v1": layout["digest"],
        layout["tag"]: layout["digest"],
    }

    kept = f"oci:{home}/images/{wine.replace('/', '+').replace(':', '=')}"
    assert packed("--image", f"{wine}:v2") == {**layout, "tag": "v2", "stored_in": kept}
    monkeypatch.setenv("MODELFLIGHT_IMAGES", "registry")
    assert packed("--image", f"{wine}:v2") == {**layout, "tag": "v2", "stored_in": wine}


@pytest.mark.parametrize(
    "target",
    [
        (),
        ("--to", "oci:layout:v1", "--image", "registry.example.com/wine:v1"),
        ("--to", "oci:"),
        ("--to", "oci::v1"),
        ("--to", "wine:v1"),
        ("--to", "https://registry.example.com/wine"),
        ("--image", "oci:layout:v1"),
        ("--image", "registry.example.com/wine@sha256:" + "0" * 64),
    ],
)
def test_pack_refuses_what_is_no_target(model: Path, home: Path, target: tuple[str, ...]):
    result = modelflight("pack", str(model), *target, "--output", "json")
    assert result.exit_code == 2
    assert error_of(result)["where"]
    assert error_of(result)["next"]
    assert not home.exists()


@pytest.mark.parametrize("below", [".", "image", "sub/../image"])
def test_pack_refuses_to_write_the_image_into_the_model(model: Path, below: str):
    result = modelflight("pack", str(model), "--to", f"oci:{model}/{below}:v1", "--output", "json")
    assert result.exit_code == 2
    assert "into the model" in error_of(result)["what"]
    assert [path.name for path in model.iterdir()] == ["weights"]


def test_release_refuses_settings_of_no_use_before_prefect_starts(
    repositories: Repositories, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    for name, value in (("MODELFLIGHT_IMAGES", "docker"), ("MODELFLIGHT_ARTIFACTS", "s3:/bucket")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            result = modelflight("release", str(repositories.notebooks), "--output", "json")
        assert result.exit_code == 2
        assert value in error_of(result)["where"]


def test_pack_refuses_an_annotation_without_a_value(project: Path):
    target = f"oci:{project}/images:v1"
    result = modelflight("pack", str(project), "--to", target, "--annotation", "team", "--output", "json")
    assert result.exit_code == 2
    assert "team" in error_of(result)["what"]


def test_bump_changes_one_line_once(repositories: Repositories):
    digest = f"sha256:{'ab' * 32}"
    arguments = ("bump", "--repository", str(repositories.fleet), "--path", "apps/wine")
    image = ("--image", "registry.example.com/models/wine", "--digest", digest, "--output", "json")
    first = modelflight(*arguments, *image)
    assert first.exit_code == 0, first.output
    commit = json.loads(first.stdout)
    assert commit["created"] is True
    assert commit["commit"] == git(repositories.fleet, "rev-parse", "main")
    assert f"+            reference: registry.example.com/models/wine:{'ab' * 6}@{digest}" in commit["diff"]
    again = json.loads(modelflight(*arguments, *image).stdout)
    assert (again["created"], again["commit"]) == (False, commit["commit"])


def test_bump_refuses_what_is_no_digest(repositories: Repositories):
    arguments = ("--path", "apps/wine", "--image", "registry.example.com/models/wine", "--digest", "latest")
    result = modelflight("bump", "--repository", str(repositories.fleet), *arguments, "--output", "json")
    assert result.exit_code == 2
    assert "latest" in error_of(result)["why"]


@pytest.mark.parametrize(
    "verb", [("release",), ("bump", "--path", "a", "--image", "r/m", "--digest", "d", "--repository")]
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_credential_in_an_address_is_refused_and_never_printed(verb: tuple[str, ...], output: str):
    result = modelflight(*verb, "https://ada:hunter2@example.com/notebooks.git", "--output", output)
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert "credential" in result.output


def test_release_ends_with_0_when_it_went_out_and_10_when_refused(
    prefect_api: str, warm_home: Path, repositories: Repositories
):
    def release() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deployments.cli", "release", "--output", "json"]
        return subprocess.run(
            [*command, str(repositories.notebooks)],
            cwd=TOP,
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    repositories.push_small()
    out = release()
    assert out.returncode == 0, out.stderr
    document = json.loads(out.stdout)
    assert document["verdict"] == "untracked"
    assert document["fleet_commit"]["commit"] == git(repositories.fleet, "rev-parse", "main")
    # Plain lines without control characters, because standard error is no terminal.
    lines = out.stderr.splitlines()
    assert [line.split("  ")[1].strip() for line in lines[:3]] == [
        "reach Prefect",
        "fetch notebooks",
        "check release",
    ]
    assert "\x1b" not in out.stderr
    repositories.push_small(settings=SMALL_SETTINGS.replace("minimum: 0.5", "minimum: 0.95"))
    refused = release()
    assert refused.returncode == 10, refused.stderr
    document = json.loads(refused.stdout)
    assert document["reasons"] == ["score 0.9 is below the minimum 0.95"]
    assert document["decision"]["comparisons"][0]["reasons"] == document["reasons"]


def test_release_starts_in_any_folder_of_a_working_copy_and_names_what_it_leaves_out(
    repositories: Repositories, home: Path, tmp_path: Path
):
    repositories.push_small()
    git(tmp_path, "clone", "--quiet", str(repositories.notebooks), "copy")
    (tmp_path / "copy" / "sub").mkdir()
    (tmp_path / "copy" / "small.ipynb").write_text("changed")
    command = [sys.executable, "-m", "deployments.cli", "release", str(tmp_path / "copy" / "sub"), "--commit"]
    environment = os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}

    def said(commit: str) -> str:
        done = subprocess.run(
            [*command, commit], cwd=TOP, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1  # there is no Prefect
        return done.stderr

    assert "these changes are in none: small.ipynb" in said("HEAD")
    assert "changes" not in said("main")


def test_release_says_when_prefect_does_not_answer(repositories: Repositories, home: Path):
    repositories.push_small()
    environment = os.environ | {"PREFECT_API_URL": "http://ada:hunter2@127.0.0.1:9/api"}
    command = [sys.executable, "-m", "deployments.cli", "release", str(repositories.notebooks)]
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "The Prefect API does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert not home.exists()


@pytest.mark.parametrize("afterwards", [None, ConnectionError("the API went away")])
def test_ctrl_c_is_told_as_such_whatever_it_broke(
    project: Path, monkeypatch: pytest.MonkeyPatch, afterwards: Exception | None
):
    def interrupted(_directory: Path) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if afterwards:
                raise afterwards  # noqa: B904 - as it happens: without a cause
            raise

    monkeypatch.setattr("tasks.config.load.load_project", interrupted)
    result = modelflight("check", str(project), "--output", "json")
    assert result.exit_code == 130
    assert error_of(result)["what"] == "Interrupted."


def test_a_mistake_of_ours_leaves_a_document_too(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tasks.config.load.load_project", lambda _directory: 1 / 0)
    result = modelflight("check", str(project), "--output", "json")
    assert result.exit_code == 1
    assert "ZeroDivisionError" in error_of(result)["what"]
    assert "Traceback" in result.stderr

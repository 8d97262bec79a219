"""The GitHub Action and the GitLab template: what they say of themselves, and GitLab's script as it runs."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.start.__main__ import main
from deployments.start.ending import _EXIT_CODES, EXIT_NO_VERDICT, Ending
from deployments.start.systems import outputs
from tests.deployments.start.deployment import COMMIT, GATE, ROW, Deployment
from tests.deployments.start.test_job import checked_out, eventually
from tests.deployments.start.test_job import job as job
from tests.repositories import TOP, Repositories, git

ACTION = TOP / "infra" / "github-action"
GITLAB = TOP / "infra" / "gitlab-ci"
ACTION_YML = yaml.safe_load((ACTION / "action.yml").read_text())
SPEC, JOBS = yaml.safe_load_all((GITLAB / "modelflight.gitlab-ci.yml").read_text())
INPUTS = SPEC["spec"]["inputs"]
(JOB,) = JOBS.values()
READMES = {
    name: (folder / "README.md").read_text() for name, folder in {"github": ACTION, "gitlab": GITLAB}.items()
}
# Read where they are used, and not by the entry's options.
READ_ELSEWHERE = {"MODELFLIGHT_IMAGES", "MODELFLIGHT_ARTIFACTS", "MODELFLIGHT_ID_TOKEN"}
OPTIONS = {f"MODELFLIGHT_{(each.name or '').upper()}" for each in main.params} | READ_ELSEWHERE


def rows(heading: str) -> list[list[str]]:
    """The cells of the README's table below a heading."""
    table = READMES["github"].partition(f"## {heading}\n\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_readme_tells_each_input_of_the_action_as_it_is() -> None:
    declared = ACTION_YML["inputs"].items()
    assert rows("Inputs") == [
        [f"`{name}`", each["description"], f"`{each['default']}`" if "default" in each else ""]
        for name, each in declared
    ]


def test_the_readme_tells_each_output_of_the_action_as_it_is() -> None:
    assert rows("Outputs") == [
        [f"`{name}`", each["description"]] for name, each in ACTION_YML["outputs"].items()
    ]
    assert ACTION_YML["outputs"].keys() == outputs(Ending("failed")).keys()


@pytest.mark.parametrize("system", READMES)
def test_the_readme_tells_the_exit_codes(system: str) -> None:
    told = {int(code) for code in re.findall(r"\((?:exit code )?(\d+)\)", READMES[system])}
    assert told == {*_EXIT_CODES.values(), EXIT_NO_VERDICT}


def test_each_input_of_the_action_reaches_a_script_as_a_variable_that_is_read() -> None:
    steps = ACTION_YML["runs"]["steps"]
    used = re.findall(r"inputs\.([\w-]+)", str(steps))
    assert set(used) == ACTION_YML["inputs"].keys()
    assert [step["run"] for step in steps if "${{" in step["run"]] == []
    given = {name for step in steps for name in step["env"] if name.startswith("MODELFLIGHT_")}
    assert given <= OPTIONS


def test_each_input_of_the_template_reaches_the_job_and_no_script() -> None:
    used = re.findall(r"\$\[\[ inputs\.([\w-]+) \]\]", str(JOBS))
    assert set(used) == INPUTS.keys()
    assert "$[[" not in str(JOB["script"])
    given = {name for name in JOB["variables"] if name.startswith("MODELFLIGHT_")}
    assert given - {"MODELFLIGHT_PREFECT_API_URL"} <= OPTIONS
    # GitLab would hand on the text `$NAME` where the variable is not set.
    assert [name for name, value in variables().items() if value in (f"${name}", f"${{{name}}}")] == []


def test_the_template_and_the_action_have_the_same_options() -> None:
    assert given_options(JOB["variables"]) == given_options(ACTION_YML["runs"]["steps"][1]["env"]) - {
        "MODELFLIGHT_FLEET_TOKEN"  # a variable of the project
    }


def given_options(variables: Mapping[str, str]) -> set[str]:
    return {name for name in variables if name in OPTIONS}


def test_the_templates_readme_names_inputs_and_variables_that_there_are() -> None:
    example = yaml.safe_load(READMES["gitlab"].partition("```yaml\n")[2].partition("```")[0])
    assert example["include"][0]["inputs"].keys() <= INPUTS.keys()
    assert {name for name, each in INPUTS.items() if "default" not in each} <= example["include"][0][
        "inputs"
    ].keys()
    left = {f"MODELFLIGHT_{name.upper().replace('-', '_')}" for name in outputs(Ending("failed"))}
    named = set(re.findall(r"MODELFLIGHT_[A-Z_]+", READMES["gitlab"]))
    assert named == left | {"MODELFLIGHT_FLEET_TOKEN"}
    assert named - left <= OPTIONS


def variables(**inputs: str) -> dict[str, str]:
    """The job's variables, with inputs in their places."""
    values = {name: str(each.get("default", "")) for name, each in INPUTS.items()} | inputs
    values = {name: {"False": "false", "True": "true"}.get(value, value) for name, value in values.items()}
    return {
        name: re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda found: values[found[1]], value)
        for name, value in JOB["variables"].items()
    }


@dataclass
class GitLabJob:
    """A job of GitLab's in a folder; `given` are variables of the runner, the project, the pipeline."""

    folder: Path
    given: dict[str, str]

    def start(self, **inputs: str) -> "subprocess.Popen[str]":
        """Runs the template's script as a runner does."""
        expanded = {
            name: re.sub(r"\$(\w+)", lambda found: self.given.get(found[1], ""), value)
            for name, value in variables(**inputs).items()
        }
        script = "\n".join(["set -eo pipefail", *JOB["script"]])
        return subprocess.Popen(
            ["bash", "-c", script], cwd=self.folder, env=expanded | self.given, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    @property
    def left(self) -> dict[str, str]:
        """What later jobs have as variables."""
        lines = (self.folder / JOB["artifacts"]["reports"]["dotenv"]).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def summary(self) -> str:
        (path,) = JOB["artifacts"]["paths"]
        return (self.folder / path).read_text()


@pytest.fixture
def gitlab(job: Any) -> GitLabJob:
    kept = {name: value for name, value in job.variables.items() if not name.startswith("GITHUB_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    ours = {
        "PATH": path, "GITLAB_CI": "true", "CI_COMMIT_SHA": COMMIT, "CI_PROJECT_DIR": str(job.folder),
        "CI_JOB_TOKEN": "glcbt-1", "CI_JOB_URL": "https://gitlab.example.com/acme/notebooks/-/jobs/7",
        "MODELFLIGHT_ID_TOKEN": "ey.J.x",
    }  # fmt: skip
    return GitLabJob(job.folder, kept | ours)


@pytest.mark.parametrize("by", ["input", "variable"])
@pytest.mark.parametrize(("state", "exit_code"), [("Promoted", 0), ("Refused", 10)])
def test_gitlabs_job_follows_the_run_and_leaves_its_end(
    gitlab: GitLabJob, deployment: Deployment, by: str, state: str, exit_code: int
) -> None:
    inputs = {"deployment": deployment.name}
    if by == "input":
        inputs["prefect-api-url"] = deployment.api
        gitlab.given["PREFECT_API_URL"] = "http://127.0.0.1:1/api"
    else:
        gitlab.given["PREFECT_API_URL"] = deployment.api
    process = gitlab.start(**inputs)
    eventually(lambda: deployment.runs() or process.poll() is not None)
    run = deployment.run()
    deployment.leave(run, "wine-gate", GATE)
    deployment.leave(run, "wine-release", [ROW])
    deployment.move(run, "COMPLETED", state)
    log, _ = process.communicate(timeout=120)
    assert process.returncode == exit_code, log
    assert gitlab.left["MODELFLIGHT_VERDICT"] == state.lower()
    assert gitlab.left["MODELFLIGHT_DIGEST"] == f"sha256:{64 * 'a'}"
    assert gitlab.left["MODELFLIGHT_RUN_URL"].endswith(run)
    assert "### Gate" in gitlab.summary
    assert deployment.runs()[0]["parameters"]["commit"] == COMMIT


def test_gitlabs_job_runs_the_chain_itself(
    gitlab: GitLabJob, job: Any, prefect_api: str, repositories: Repositories
) -> None:
    repositories.push_small()
    commit = checked_out(job, str(repositories.notebooks))
    gitlab.given["PREFECT_API_URL"] = prefect_api  # one that is there already, for speed
    process = gitlab.start(mode="job", images="layout")
    log, _ = process.communicate()
    assert process.returncode == 0, log
    assert gitlab.left["MODELFLIGHT_VERDICT"] == "untracked"
    assert gitlab.left["MODELFLIGHT_RELEASE_ID"] == f"small-{commit[:12]}-1"
    assert gitlab.left["MODELFLIGHT_COMMIT"] == git(repositories.fleet, "rev-parse", "main")
    assert gitlab.left["MODELFLIGHT_RUN_URL"] == gitlab.given["CI_JOB_URL"]
    assert "glcbt-1" not in log

"""`python -m deployments.start`: a release in a job of a CI system, started as the jobs do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployments.start.deployment import COMMIT, GATE, ROW, Deployment
from tests.fakes import git_server
from tests.repositories import SMALL_SETTINGS, Repositories, git

COMMAND = [sys.executable, "-P", "-m", "deployments.start"]


@dataclass
class Job:
    """A job of GitHub's, in `folder`, with `variables`."""

    folder: Path
    variables: dict[str, str]

    def start(self, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            COMMAND, cwd=self.folder, env={**self.variables, **variables}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, **variables: str) -> tuple[int, str]:
        process = self.start(**variables)
        log, _ = process.communicate()
        return process.returncode, log

    @property
    def summary(self) -> str:
        return (self.folder / "summary").read_text()

    @property
    def outputs(self) -> Mapping[str, str]:
        lines = iter((self.folder / "output").read_text().splitlines())
        found = {}
        for line in lines:
            name, _, end = line.partition("<<")
            found[name] = "\n".join(iter(lambda: next(lines), end))
        return found


@pytest.fixture
def job(tmp_path: Path, home: Path) -> Job:
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "MODELFLIGHT_", "GITHUB_", "GITLAB_", "CI_", "AWS_"))
    }  # fmt: skip
    folder = tmp_path / "job"
    folder.mkdir()
    return Job(
        folder,
        {
            **kept,
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_ENV": str(folder / "env"),
            "GITHUB_SHA": COMMIT,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "acme/notebooks",
            "GITHUB_RUN_ID": "7",
            "MODELFLIGHT_HOME": str(home),
            "GIT_CONFIG_GLOBAL": os.devnull,
        },
    )


@pytest.fixture
def at_prefect(job: Job, deployment: Deployment) -> Job:
    """A job in mode prefect, as action.yml hands it its inputs."""
    job.variables |= {
        "PREFECT_API_URL": deployment.api, "PREFECT_API_KEY": "", "PREFECT_API_AUTH_STRING": "admin:hush",
        "MODELFLIGHT_MODE": "", "MODELFLIGHT_COMMIT": "", "MODELFLIGHT_ATTEMPT": "1",
        "MODELFLIGHT_DEPLOYMENT": deployment.name, "MODELFLIGHT_TIMEOUT": "10m",
        "MODELFLIGHT_CANCEL_ON_ABORT": "false", "MODELFLIGHT_MODEL": "",
    }  # fmt: skip
    return job


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_job_follows_the_run_of_its_commit_and_tells_its_end(
    at_prefect: Job, deployment: Deployment
) -> None:
    process = at_prefect.start()
    eventually(deployment.runs)
    run = deployment.run()
    deployment.leave(run, "wine-gate", GATE)
    deployment.leave(run, "wine-release", [ROW])
    deployment.move(run, "COMPLETED", "Promoted")
    log, _ = process.communicate(timeout=120)

    assert process.returncode == 0, log
    page = f"{deployment.api.removesuffix('/api')}/v2/runs/flow-run/{run}"
    assert at_prefect.outputs == {
        "verdict": "promoted",
        "digest": f"sha256:{64 * 'a'}",
        "commit": 40 * "f",
        "run-url": page,
        "release-id": "wine-0123456789ab-1",
    }
    assert f"<{page}>" in at_prefect.summary
    assert "| accuracy | 0.97 | go |" in at_prefect.summary
    assert deployment.runs()[0]["parameters"]["commit"] == COMMIT
    assert "::add-mask::admin:hush" in log.splitlines()
    assert "::add-mask::hush" in log.splitlines()
    assert [line for line in log.splitlines() if "hush" in line and "add-mask" not in line] == []


def test_a_refused_release_fails_the_job_with_ten(at_prefect: Job, deployment: Deployment) -> None:
    process = at_prefect.start()
    eventually(deployment.runs)
    deployment.move(deployment.run(), "COMPLETED", "Refused", "accuracy 0.8 is below 0.9")
    log, _ = process.communicate(timeout=120)
    assert process.returncode == 10, log
    assert at_prefect.outputs["verdict"] == "refused"
    assert log.splitlines()[-1] == ("::error title=wine-0123456789ab-1%3A refused::accuracy 0.8 is below 0.9")


@pytest.mark.parametrize(("cancels", "state"), [("false", "SCHEDULED"), ("true", "CANCELLED")])
def test_a_cancelled_job_leaves_its_run_unless_it_is_to_cancel_it(
    at_prefect: Job, deployment: Deployment, cancels: str, state: str
) -> None:
    process = at_prefect.start(MODELFLIGHT_CANCEL_ON_ABORT=cancels)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert any(line.startswith("  run  ") for line in lines)
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=120)
    assert process.returncode == 130, log
    assert deployment.run() in log
    eventually(lambda: deployment.runs()[0]["state"]["type"] == state)


def test_a_job_without_a_deployment_says_what_is_missing(at_prefect: Job) -> None:
    code, log = at_prefect.run(MODELFLIGHT_DEPLOYMENT="")
    assert code == 2
    assert "Set it to NAME.MODEL" in log
    assert at_prefect.outputs["verdict"] == ""
    assert "No deployment is named" in at_prefect.summary


def checked_out(job: Job, address: str) -> str:
    """Makes the job's folder a shallow working copy, as CI systems do; its commit."""
    git(job.folder, "init", "--quiet", "--initial-branch=main", ".")
    git(job.folder, "remote", "add", "origin", address)
    served = address if "://" in address else f"file://{address}"
    git(job.folder, "fetch", "--quiet", "--depth=1", served, "main")
    git(job.folder, "checkout", "--quiet", "FETCH_HEAD")
    return git(job.folder, "rev-parse", "HEAD")


@pytest.fixture
def in_job(job: Job, prefect_api: str, repositories: Repositories) -> Job:
    """A job in mode job; its Prefect API is one that is there already, for speed."""
    job.variables |= {"PREFECT_API_URL": prefect_api, "MODELFLIGHT_MODE": "job"}
    return job


def test_the_chain_runs_in_the_job(in_job: Job, repositories: Repositories) -> None:
    repositories.push({"README": "first"})
    repositories.push_small()
    commit = checked_out(in_job, str(repositories.notebooks))
    (in_job.folder / "tasks").mkdir()  # a folder of the repository's own, which is no package of ours
    (in_job.folder / "tasks" / "__init__.py").write_text("raise SystemExit(99)")

    code, log = in_job.run()

    assert code == 0, log
    assert in_job.outputs["verdict"] == "untracked"
    assert in_job.outputs["release-id"] == f"small-{commit[:12]}-1"
    assert in_job.outputs["commit"] == git(repositories.fleet, "rev-parse", "main")
    assert in_job.outputs["run-url"] == "https://github.com/acme/notebooks/actions/runs/7"
    assert in_job.outputs["digest"] in git(repositories.fleet, "show", "main:apps/wine/deployment.yaml")
    assert "### Gate" in in_job.summary
    message = git(repositories.fleet, "log", "-1", "--format=%B", "main")
    assert f"Notebook-Repository: {repositories.notebooks}" in message


def test_problems_are_annotated_in_the_job(in_job: Job, repositories: Repositories) -> None:
    repositories.push_small(SMALL_SETTINGS.replace("minimum: 0.5", "minimum: high"))
    checked_out(in_job, str(repositories.notebooks))
    code, log = in_job.run(MODELFLIGHT_REPOSITORY=".")
    assert code == 2, log
    line = SMALL_SETTINGS.splitlines().index(next(x for x in SMALL_SETTINGS.splitlines() if "gate:" in x)) + 1
    told = log.splitlines()[-1]
    assert told.startswith("::error title=")
    assert f"file=modelflight.yaml,line={line}::models[0].gate.minimum" in told


def test_tokens_open_the_repositories_and_reach_no_notebook(in_job: Job, repositories: Repositories) -> None:
    with git_server.running(repositories.notebooks.parent) as server:
        repositories.push_small(
            SMALL_SETTINGS.replace("../fleet.git", f"{server.address}/fleet.git"),
            train="import os\nfound = [v for v in os.environ.values() if 'pass:' in v]\n"
            "assert not found\nmodel = {'weight': weight}",
        )
        git(repositories.fleet, "config", "http.receivepack", "true")
        checked_out(in_job, str(repositories.notebooks))
        # GitLab's runners leave a token in the address.
        address = server.address.replace("://", "://gitlab-ci-token:old@")
        git(in_job.folder, "remote", "set-url", "origin", f"{address}/notebooks.git")
        server.user = "git"

        code, log = in_job.run(
            GITHUB_ACTIONS="", MODELFLIGHT_TOKEN=server.password, MODELFLIGHT_FLEET_TOKEN=server.password
        )

    assert code == 0, log
    message = git(repositories.fleet, "log", "-1", "--format=%B", "main")
    assert f"Notebook-Repository: {server.address}/notebooks.git" in message
    assert server.password not in log


def test_a_job_of_no_system_prints_json_when_it_is_asked_to(in_job: Job, repositories: Repositories) -> None:
    repositories.push_small(score="score = 0.1")
    checked_out(in_job, str(repositories.notebooks))
    done = subprocess.run(
        [*COMMAND, "--output", "json"], cwd=in_job.folder, env={**in_job.variables, "GITHUB_ACTIONS": ""},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 10, done.stderr
    assert json.loads(done.stdout)["verdict"] == "refused"

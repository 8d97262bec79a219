"""The verb `start`, at a real Prefect API."""

import json
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deployments.cli import main
from deployments.start import api, follow
from deployments.start.ending import Ending
from tasks.errors import ConfigInvalid
from tests.deployments.start.deployment import COMMIT, GATE, IMAGE, ROW, Deployment
from tests.prefect_api import ask
from tests.repositories import TOP


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_FIRST_POLL", 0.05)
    monkeypatch.setattr(follow, "_LOGS_ARRIVE", 0.05)


def start(deployment: Deployment, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["start", deployment.name, *arguments, "--output", "json"])


def begun(deployment: Deployment, *arguments: str) -> str:
    """The id of a run that was started and is not followed."""
    result = start(deployment, "--commit", COMMIT, "--no-follow", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["run_url"].rpartition("/")[2]


def document(result: Result) -> dict[str, Any]:
    return json.loads(result.stdout)


def ended(deployment: Deployment, kind: str, message: str) -> Ending:
    """The ending of a run that comes to the state while it is followed."""
    with api.PrefectApi(deployment.api, {}) as client:
        started = follow.start_run(client, deployment.name, COMMIT, 1, lambda _line: None)
        deployment.move(started.run, kind, message=message)
        return follow.wait_for(client, started, 60, lambda _line: None)


def test_a_run_is_started_with_the_commit_and_found_again(deployment: Deployment) -> None:
    first = begun(deployment)
    (run,) = deployment.runs()
    assert run["id"] == first
    assert run["parameters"]["commit"] == COMMIT
    assert run["parameters"]["attempt"] == 1
    assert run["parameters"]["model"] == "wine"
    assert set(run["tags"]) == {"modelflight", "model:wine", "commit:0123456789ab"}

    assert begun(deployment) == first
    assert begun(deployment, "--attempt", "2") != first
    assert len(deployment.runs()) == 2


def test_a_wrong_name_is_told_with_the_right_one(deployment: Deployment) -> None:
    right, deployment.name = deployment.name, f"{deployment.name}e"
    result = start(deployment)
    assert result.exit_code == 2
    assert right in document(result)["error"]["why"]


def test_what_a_release_came_to_is_told(deployment: Deployment) -> None:
    run = begun(deployment)
    deployment.leave(run, "wine-gate", [{"old": "row"}])
    deployment.leave(run, "wine-gate", GATE)
    deployment.leave(run, "wine-release", [ROW])
    deployment.move(run, "COMPLETED", "Promoted")

    result = start(deployment, "--commit", COMMIT)

    assert result.exit_code == 0
    assert document(result) == {
        "release_id": "wine-0123456789ab-1",
        "outcome": "promoted",
        "verdict": "promoted",
        "image": IMAGE,
        "digest": f"sha256:{64 * 'a'}",
        "fleet_commit": 40 * "f",
        "reasons": "",
        "gate": GATE,
        "run_url": f"{deployment.api.removesuffix('/api')}/v2/runs/flow-run/{run}",
        "error": None,
    }


@pytest.mark.parametrize(
    ("state", "exit_code"),
    [
        ("Untracked", 0), ("Superseded", 0), ("Skipped", 0), ("Refused", 10), ("Rolled back", 11),
        ("Unknown", 12), ("Promotion failed", 1),
    ],
)  # fmt: skip
def test_the_verdict_decides_the_exit_code(deployment: Deployment, state: str, exit_code: int) -> None:
    deployment.move(begun(deployment), "COMPLETED", state, "for a reason")

    result = start(deployment, "--commit", COMMIT)

    assert result.exit_code == exit_code
    assert document(result)["outcome"] == state.lower().replace(" ", "_")
    assert document(result)["reasons"] == "for a reason"


def test_progress_is_shown_while_the_run_goes_on(deployment: Deployment) -> None:
    run = begun(deployment)

    def work() -> None:
        deployment.move(run, "RUNNING")
        deployment.log(run, None, "Opening process...")
        step = deployment.step(run, "check gate")
        deployment.log(run, step, "check gate: started")
        time.sleep(0.5)
        deployment.log(
            run,
            step,
            "check gate: go, by https://ada:secret@git.example.com\nmore",
            "Finished in state Completed()",
        )
        deployment.log(run, None, "Something is odd", level=30)
        deployment.move(run, "COMPLETED", "Untracked")

    thread = threading.Thread(target=work)
    thread.start()
    result = start(deployment, "--commit", COMMIT)
    thread.join()

    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stderr.splitlines()]
    assert [line for line in lines if line.startswith("check gate")] == [
        "check gate        started", "check gate        go, by https://***@git.example.com",
    ]  # fmt: skip
    assert "run               Something is odd" in lines
    assert "run               Untracked" in lines
    assert "Opening" not in result.stderr


def test_a_failed_run_fails_with_its_own_error(deployment: Deployment) -> None:
    told = (
        "Flow run encountered an exception: ConfigInvalid: modelflight.yaml has 2 problems.\n"
        "where: modelflight.yaml\nwhy: modelflight.yaml:3: one\nmodelflight.yaml:4: two\n"
        "next: Correct these lines."
    )
    ending = ended(deployment, "FAILED", told)
    assert isinstance(ending.error, ConfigInvalid)
    assert ending.exit_code == 2
    assert ending.document()["verdict"] is None
    assert ending.document()["error"] == {
        "what": "modelflight.yaml has 2 problems.",
        "where": "modelflight.yaml",
        "why": "modelflight.yaml:3: one\nmodelflight.yaml:4: two",
        "next": "Correct these lines.",
        "type": "ConfigInvalid",
    }


@pytest.mark.parametrize("kind", ["FAILED", "CRASHED", "CANCELLED"])
def test_a_run_that_ended_otherwise_has_failed(deployment: Deployment, kind: str) -> None:
    ending = ended(deployment, kind, "Killed: by somebody")
    assert ending.exit_code == 1
    assert ending.outcome == kind.lower()
    assert ending.error is not None
    assert ending.error.why == "Killed: by somebody"


def test_a_run_that_failed_before_says_how_to_go_on(deployment: Deployment) -> None:
    deployment.move(begun(deployment), "FAILED", message="RuntimeError: no")

    result = start(deployment, "--commit", COMMIT)

    assert result.exit_code == 1
    assert "attempt 2" in document(result)["error"]["next"]
    assert document(result)["error"]["why"] == "RuntimeError: no"


def test_nobody_waits_longer_than_the_timeout_and_the_run_goes_on(deployment: Deployment) -> None:
    run = begun(deployment)
    deployment.move(run, "PAUSED", "Suspended")

    result = start(deployment, "--commit", COMMIT, "--timeout", "1s")

    assert result.exit_code == 12
    assert "waits for a person's answer" in result.stderr
    assert document(result)["outcome"] == "suspended"
    assert document(result)["error"]["where"].endswith(run)
    assert deployment.runs()[0]["state"]["name"] == "Suspended"


def test_without_a_commit_each_start_is_a_run_of_the_deployments_own_parameters(
    deployment: Deployment,
) -> None:
    for _ in range(2):
        assert start(deployment, "--no-follow").exit_code == 0
    assert [run["parameters"]["commit"] for run in deployment.runs()] == ["main", "main"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--commit", "main"], "whole id"),
        (["--timeout", "soon"], "wanted a duration like 90s"),
        (["--attempt", "0"], "attempt"),
    ],
)
def test_wrong_arguments_start_nothing(deployment: Deployment, arguments: list[str], complaint: str) -> None:
    result = start(deployment, *arguments)
    assert result.exit_code == 2
    assert complaint in result.output
    assert deployment.runs() == []


def test_a_deployment_that_is_not_there_is_named(deployment: Deployment) -> None:
    deployment.name = "notebooks.white/wine?"
    result = start(deployment, "--commit", COMMIT)
    assert result.exit_code == 2
    assert "notebooks.white/wine?" in document(result)["error"]["what"]


def test_another_flows_deployment_is_named_with_its_flow(prefect_api: str) -> None:
    with Deployment(prefect_api, flow="white wine") as other:
        other.name = f"white wine/{other.name}"
        assert start(other, "--commit", COMMIT, "--no-follow").exit_code == 0
        assert len(other.runs()) == 1


def test_a_deployment_that_releases_no_commits_is_not_started_for_one(deployment: Deployment) -> None:
    ask("PATCH", f"{deployment.api}/deployments/{deployment.id}", {"parameters": {}})
    result = start(deployment, "--commit", COMMIT)
    assert result.exit_code == 2, result.output
    assert "releases no commits" in document(result)["error"]["what"]
    assert deployment.runs() == []


def test_a_run_that_is_deleted_meanwhile_is_told_so(deployment: Deployment, prefect_api: str) -> None:
    with api.PrefectApi(prefect_api, {}) as client:
        started = follow.start_run(client, deployment.name, COMMIT, 1, lambda _line: None)
        ask("DELETE", f"{prefect_api}/flow_runs/{started.run}")
        with pytest.raises(api.ModelflightError, match="deleted"):
            follow.wait_for(client, started, 60, lambda _line: None)


def test_starting_needs_no_prefect() -> None:
    program = "import sys, deployments.start.__main__; print('prefect' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"

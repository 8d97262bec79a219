"""Retry, pressed on a release that ended: it goes on where it stopped, or ends the same again."""

import os
import signal
from pathlib import Path

import pytest

from tests.deployments.up.running import eventually
from tests.flows.served import Served
from tests.repositories import SMALL_SETTINGS, Repositories, git

pytestmark = pytest.mark.worker


def test_a_failed_release_goes_on_with_the_step_that_failed(
    served: Served, warm_home: Path, repositories: Repositories
) -> None:
    repositories.hook(repositories.fleet, "pre-receive", "echo the branch is protected >&2; exit 1")
    repositories.push_small()
    run = served.start(served.deploy(repositories, warm_home))
    served.wait(run, "Failed")
    assert repositories.releases() == []
    (repositories.fleet / "hooks" / "pre-receive").unlink()
    before = served.steps(run)

    served.retry(run)

    served.wait(run, "Untracked")
    again = served.steps(run)
    assert {name for name, times in again.items() if times > before.get(name, 0)} == {
        "check newest",
        "bump fleet",
        "settle release",
    }
    assert len(repositories.releases()) == 1


def test_a_release_whose_process_was_killed_goes_on_and_trains_once_more_at_most(
    served: Served, warm_home: Path, repositories: Repositories, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    # A step's process is a fork of one that the flow's process started.
    wait = (
        'import os, pathlib, time\npid = pathlib.Path(os.environ["SCENE"]) / "pid"\n'
        'status = pathlib.Path(f"/proc/{os.getppid()}/status").read_text()\n'
        'if not pid.exists():\n    pid.write_text(status.partition("PPid:")[2].split()[0])\n'
        "    time.sleep(600)\n"
    )
    repositories.push_small(train=f"{wait}model = {{'weight': weight}}")
    run = served.start(served.deploy(repositories, warm_home, SCENE=str(tmp_path)))
    eventually(lambda: pid.exists() and pid.read_text(), "the training")
    eventually(lambda: served.steps(run).get("run pipeline"), "the word of it")
    os.kill(int(pid.read_text()), signal.SIGKILL)
    served.wait(run, "Crashed")
    eventually(lambda: served.has_left(run), "the end of the worker's part")

    served.retry(run)

    served.wait(run, "Untracked")
    steps = served.steps(run)
    assert (steps["fetch notebooks"], steps["compile notebook"], steps["run pipeline"]) == (1, 1, 2)
    assert len(repositories.releases()) == 1


@pytest.mark.parametrize(("score", "name"), [("score = 0.1", "Refused"), ("score = 0.9", "Untracked")])
def test_a_release_that_came_to_its_end_ends_the_same_again(
    served: Served, warm_home: Path, repositories: Repositories, score: str, name: str
) -> None:
    repositories.push_small(SMALL_SETTINGS, score=score)
    run = served.start(served.deploy(repositories, warm_home))
    message = served.wait(run, name)["message"]
    head = git(repositories.fleet, "rev-parse", "main")

    served.retry(run)

    eventually(lambda: served.run(run)["run_count"] == 2, "the second time")
    assert served.wait(run, name)["message"] == message
    assert git(repositories.fleet, "rev-parse", "main") == head
    assert len(list(warm_home.glob("runs/*/run.json"))) == 1

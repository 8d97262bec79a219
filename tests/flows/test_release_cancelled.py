"""Cancel, pressed at any point: the processes end, and the fleet has its commit whole or not at all."""

import time
from pathlib import Path

import pytest

from tests.deployments.up.running import eventually, processes
from tests.flows.served import Served
from tests.repositories import SMALL_SETTINGS, Repositories, git

pytestmark = pytest.mark.worker

NEEDED = SMALL_SETTINGS + "    approval: before_bump\n"


# A cell that waits while there is a file `hang`, in a process and in its child. SCENE names the folder: so
# the notebook is the same in all tests, and compiled once.
HANGS = """\
import os, pathlib, subprocess, time
folder = pathlib.Path(os.environ["SCENE"])
if (folder / "hang").exists():
    child = subprocess.Popen(["sleep", "600"])
    (folder / "pids.tmp").write_text(f"{os.getpid()} {child.pid}")
    (folder / "pids.tmp").rename(folder / "pids")
    time.sleep(600)
model = {"weight": weight}"""


@pytest.fixture
def slow(repositories: Repositories, tmp_path: Path) -> Path:
    """A folder with the file `hang`: while it is there, the pushed model trains for ever."""
    (tmp_path / "hang").touch()
    repositories.push_small(train=HANGS)
    return tmp_path


def test_while_it_trains_ends_all_that_it_started_and_a_retry_releases_it_once(
    served: Served, warm_home: Path, repositories: Repositories, slow: Path
) -> None:
    run = served.start(served.deploy(repositories, warm_home, SCENE=str(slow)))
    eventually((slow / "pids").exists, "the training")
    pids = {int(pid) for pid in (slow / "pids").read_text().split()}
    assert pids <= set(processes())

    served.cancel(run)

    served.wait(run, "Cancelled")
    eventually(lambda: not pids & set(processes()), "the end of the processes", within=30)
    assert repositories.releases() == []
    (slow / "hang").unlink()
    served.retry(run)
    served.wait(run, "Untracked")
    assert len(repositories.releases()) == 1
    assert len(list(warm_home.glob("runs/*/run.json"))) == 1


def test_while_it_waits_for_approval_it_is_cancelled_at_once_and_nothing_reaches_the_fleet(
    served: Served, warm_home: Path, repositories: Repositories
) -> None:
    repositories.push_small(NEEDED)
    run = served.start(served.deploy(repositories, warm_home))
    served.wait(run, "Suspended")
    served.cancel(run)
    assert served.run(run)["state"]["name"] == "Cancelled"
    assert repositories.releases() == []


def test_while_it_waits_behind_another_release_it_is_cancelled_at_once_and_the_other_goes_on(
    served: Served, warm_home: Path, repositories: Repositories, slow: Path
) -> None:
    deployment = served.deploy(repositories, warm_home, SCENE=str(slow))
    first = served.start(deployment)
    eventually((slow / "pids").exists, "the training")
    waiting, answered = served.start(deployment), served.start(deployment)
    for run in (waiting, answered):
        served.wait(run, "AwaitingConcurrencySlot")
    served.cancel(waiting)
    assert served.run(waiting)["state"]["name"] == "Cancelled"
    (slow / "hang").unlink()
    served.cancel(first)
    served.wait(first, "Cancelled")
    served.wait(answered, "Untracked")
    assert len(repositories.releases()) == 1


@pytest.mark.parametrize("before", ["failed", "cancelled", "answered"])
def test_while_it_waits_to_go_on_it_is_cancelled_at_once(
    served: Served, warm_home: Path, repositories: Repositories, tmp_path: Path, before: str
) -> None:
    """A process ran it once, which Prefect would look for."""
    (tmp_path / "hang").touch()
    text = NEEDED if before == "answered" else SMALL_SETTINGS
    train = {"failed": "raise ValueError('no data')", "cancelled": HANGS}.get(before)
    repositories.push_small(text, **({"train": train} if train else {}))
    deployment = served.deploy(repositories, warm_home, SCENE=str(tmp_path))
    run = served.start(deployment)
    match before:
        case "failed":
            served.wait(run, "Failed")
        case "cancelled":
            eventually((tmp_path / "pids").exists, "the training")
            served.cancel(run)
            served.wait(run, "Cancelled")
        case "answered":
            served.wait(run, "Suspended")
    # Another release has the only slot while this one waits.
    (tmp_path / "hang").touch()
    (tmp_path / "pids").unlink(missing_ok=True)
    repositories.push_small(text, train=HANGS)
    other = served.start(deployment)
    eventually((tmp_path / "pids").exists, "the other release's training")
    if before == "answered":
        served.answer(run, approve=True, name="Ada")
    else:
        served.retry(run)
    served.wait(run, "AwaitingConcurrencySlot")

    served.cancel(run)

    assert served.run(run)["state"]["name"] == "Cancelled"
    served.cancel(other)
    served.wait(other, "Cancelled")
    assert repositories.releases() == []


def test_while_it_pushes_the_fleet_has_its_commit_or_not_and_after_a_retry_once(
    served: Served, warm_home: Path, repositories: Repositories, tmp_path: Path
) -> None:
    reached, held = tmp_path / "reached", tmp_path / "held"
    held.touch()
    repositories.hook(
        repositories.fleet,
        "pre-receive",
        f"touch '{reached}'; while test -e '{held}'; do sleep 0.2; done",
    )
    repositories.push_small()
    run = served.start(served.deploy(repositories, warm_home))
    eventually(reached.exists, "the push")

    served.cancel(run)

    served.wait(run, "Cancelled")
    held.unlink()
    time.sleep(1)  # for a push that nobody waits for any more
    assert len(repositories.releases()) in (0, 1)
    served.retry(run)
    served.wait(run, "Untracked")
    assert len(repositories.releases()) == 1
    assert git(repositories.fleet, "rev-list", "--count", "main") == "2"
    git(repositories.fleet, "fsck", "--strict")

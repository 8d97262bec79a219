import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.errors import ChampionChanged, FleetRefused
from tasks.gitops.bump import bump
from tasks.gitops.repository import FleetRepository
from tasks.release import CommitSha, FleetCommit, ReleaseId

if TYPE_CHECKING:
    from tests.tasks.gitops.conftest import BareFleet

ROOT = Path(__file__).parents[3]
FILE = "apps/wine/deployment.yaml"
IMAGE = "registry.example.com/models/wine"
WRITERS = 8

BUMP = """
import json, os, signal, sys
from tasks.gitops.bump import bump
from tasks.gitops.repository import FleetRepository
from tasks.gitops.target import FleetTarget
from tasks.release import ReleaseId

address, path, image, reference, release_id, die = json.loads(sys.argv[1])
push = FleetRepository.push

def dying(repository, commit):
    if die == "after":
        assert push(repository, commit)
    os.kill(os.getpid(), signal.SIGKILL)

if die:
    FleetRepository.push = dying
target = FleetTarget(address, "main", path, image)
done = bump(target, image=reference, release_id=ReleaseId(release_id), subject="Release", trailers={})
print(json.dumps([done.commit, done.created]))
"""


def reference(number: int, image: str = IMAGE) -> str:
    return f"{image}:v{number}@sha256:{number:064x}"


def release_id(number: int) -> ReleaseId:
    return ReleaseId(f"wine-0123456789ab-{number}")


def start(
    fleet: "BareFleet", number: int, path: str = "apps/wine", image: str = IMAGE, die: str = ""
) -> subprocess.Popen[bytes]:
    arguments = json.dumps([fleet.address, path, image, reference(number, image), release_id(number), die])
    command = [sys.executable, "-c", BUMP, arguments]
    # The killed ones leave their clone behind.
    environment = os.environ | {"TMPDIR": str(fleet.directory.parent)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def results(processes: list[subprocess.Popen[bytes]]) -> list[tuple[str, bool]]:
    found = []
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
        found.append(tuple(json.loads(output)))
    return found


def release(fleet: "BareFleet", number: int) -> FleetCommit:
    return bump(
        fleet.target(), image=reference(number), release_id=release_id(number), subject="Release", trailers={}
    )


def test_writers_to_different_files_all_land(empty_fleet: "BareFleet") -> None:
    images = {f"apps/m{number}": f"registry.example.com/models/m{number}" for number in range(1, WRITERS + 1)}
    empty_fleet.commit({f"{path}/d.yaml": empty_fleet.manifest(image) for path, image in images.items()})
    landed = results(
        [
            start(empty_fleet, number, path, image)
            for number, (path, image) in enumerate(images.items(), start=1)
        ]
    )
    assert sorted(landed) == sorted((commit, True) for commit in empty_fleet.log()[1:])
    assert len(landed) == WRITERS
    for number, (path, image) in enumerate(images.items(), start=1):
        wanted = empty_fleet.manifest(reference(number, image), release_id(number))
        assert empty_fleet.read(f"{path}/d.yaml") == wanted


def test_writers_to_one_file_all_land(fleet: "BareFleet") -> None:
    landed = results([start(fleet, number) for number in range(1, WRITERS + 1)])
    commits = fleet.log()[1:]
    assert sorted(landed) == sorted((commit, True) for commit in commits)
    assert len(commits) == WRITERS
    contents = {fleet.read(FILE, commit) for commit in commits}
    assert contents == {
        fleet.manifest(reference(number), release_id(number)) for number in range(1, WRITERS + 1)
    }


def test_writers_of_one_release_make_one_commit(fleet: "BareFleet") -> None:
    landed = results([start(fleet, 1) for _ in range(3)])
    assert [commit for commit, _ in landed] == fleet.log()[1:] * 3


@pytest.mark.parametrize(("die", "landed"), [("before", 0), ("after", 1)])
def test_killed_at_the_push_a_repeat_makes_exactly_one_commit(
    fleet: "BareFleet", die: str, landed: int
) -> None:
    process = start(fleet, 1, die=die)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert len(fleet.log()) == 1 + landed
    done = release(fleet, 1)
    assert done.created == (not landed)
    assert fleet.log()[1:] == [done.commit]
    assert fleet.read(FILE) == fleet.manifest(reference(1), release_id(1))


def before_each_push(monkeypatch: pytest.MonkeyPatch, intervene) -> list[int]:  # type: ignore[no-untyped-def]
    """Calls `intervene` with the number of the push, from 1, just before it; returns the numbers so far."""
    push = FleetRepository.push
    pushes: list[int] = []

    def late(repository: FleetRepository, commit: CommitSha) -> bool:
        pushes.append(len(pushes) + 1)
        intervene(pushes[-1])
        return push(repository, commit)

    monkeypatch.setattr(FleetRepository, "push", late)
    monkeypatch.setattr("tasks.gitops.bump._pause", lambda attempt: None)
    return pushes


def test_a_change_to_the_file_in_between_is_kept(fleet: "BareFleet", monkeypatch: pytest.MonkeyPatch) -> None:
    changed = fleet.manifest() + b"# a person was here\n"

    def intervene(number: int) -> None:
        if number == 1:
            fleet.commit({FILE: changed})

    pushes = before_each_push(monkeypatch, intervene)
    done = release(fleet, 1)
    assert pushes == [1, 2]
    assert len(fleet.log()) == 3
    assert fleet.read(FILE) == fleet.manifest(reference(1), release_id(1)) + b"# a person was here\n"
    assert "person" not in "".join(line for line in done.diff.splitlines() if line.startswith(("+", "-")))


def test_an_image_that_moved_in_between_is_found_again(
    fleet: "BareFleet", monkeypatch: pytest.MonkeyPatch
) -> None:
    def intervene(number: int) -> None:
        if number == 1:
            fleet.commit({FILE: b"# moved\n", "apps/wine/new.yaml": fleet.manifest()})

    before_each_push(monkeypatch, intervene)
    assert release(fleet, 1).path == "apps/wine/new.yaml"
    assert fleet.read(FILE) == b"# moved\n"


def test_a_champion_that_changed_in_between_is_not_replaced(
    fleet: "BareFleet", monkeypatch: pytest.MonkeyPatch
) -> None:
    other = fleet.manifest(reference(2), release_id(2))
    pushes = before_each_push(monkeypatch, lambda number: fleet.commit({FILE: other}))
    with pytest.raises(ChampionChanged) as caught:
        bump(
            fleet.target(),
            image=reference(1),
            release_id=release_id(1),
            subject="Release",
            trailers={},
            expected=IMAGE,
        )
    assert pushes == [1]
    assert IMAGE in caught.value.why
    assert reference(2) in caught.value.why
    assert fleet.read(FILE) == other


def test_a_locked_branch_is_tried_again(fleet: "BareFleet", monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fleet.directory / "refs" / "heads" / "main.lock"
    pushes = before_each_push(
        monkeypatch, lambda number: lock.touch() if number == 1 else lock.unlink(missing_ok=True)
    )
    assert release(fleet, 1).created
    assert pushes == [1, 2]


def test_gives_up_when_others_are_always_faster(fleet: "BareFleet", monkeypatch: pytest.MonkeyPatch) -> None:
    pushes = before_each_push(monkeypatch, lambda number: fleet.commit({"n": str(number).encode()}))
    with pytest.raises(FleetRefused, match="first, 9 times") as caught:
        release(fleet, 1)
    assert not caught.value.retryable
    assert len(pushes) == 9
    assert fleet.read(FILE) == fleet.manifest()

"""Releases that are killed, crowded or cut off, and repeated."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.repositories import TOP, Repositories, git

# The functions of verb modules whose return is the step's effect, in the order of the chain.
EFFECTS = [
    "tasks.fetch_notebooks.check_out",
    "tasks.check_release.serving_image",
    "tasks.check_backends.check_store",
    "tasks.compile_notebook.compile_with_kale",
    "tasks.run_pipeline.run_here",
    "tasks.run_pipeline.keep",
    "tasks.check_gate.create_table_artifact",
    "tasks.pack_image.pack",
    "tasks.bump_fleet.bump",
    "tasks.settle_release.attach",
]


def blobs(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "images").glob("**/blobs/sha256/*")}


def test_killed_after_every_step_and_repeated_there_is_one_image_one_commit_one_model(
    prefect_api: str, home: Path, repositories: Repositories
) -> None:
    from flows.release_model import release_model
    from tasks.lineage.record import MEDIA_TYPE
    from tasks.oci.images import open_images
    from tasks.oci.referrer import referrers

    repositories.push_small()
    command = [sys.executable, "-m", "tests.flows.killed_release", str(repositories.notebooks), *EFFECTS]
    killed = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert killed.returncode == 0, killed.stderr
    after_the_last_kill = blobs(home)
    done = release_model(repository=str(repositories.notebooks))

    assert repositories.releases() == [done.release_id]
    assert git(repositories.fleet, "rev-list", "--count", "main") == "2"  # the fleet's own, and the release's
    assert [path.parent.name for path in (home / "runs").glob("*/run.json")] == [str(done.release_id.run_id)]
    assert len(list((home / "runs").glob("*/model/*"))) == 1
    assert len(list((home / "pipelines").iterdir())) == 1
    assert blobs(home) == after_the_last_kill
    with open_images(done.image.stored_in) as images:
        assert len(referrers(images, done.image.digest, MEDIA_TYPE)) == 1
    assert done.decision.champion_image is None  # not the image of the killed release itself
    assert not done.fleet_commit.created


def test_a_fleet_file_changed_in_between_costs_one_commit_still(
    prefect_api: str, warm_home: Path, repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.gitops.bump as room
    from flows.release_model import release_model

    repositories.push_small()
    pushed: list[str] = []
    repository = room.FleetRepository
    push = repository.push

    def push_after_somebody_else(self, *args, **kwargs):
        if not pushed:
            path = "apps/wine/deployment.yaml"
            text = git(repositories.fleet, "show", f"main:{path}") + "\n"
            pushed.append(
                repositories.push_fleet({path: text.replace("replicas: 1", "replicas: 3") + "# ours\n"})
            )
        return push(self, *args, **kwargs)

    monkeypatch.setattr(repository, "push", push_after_somebody_else)
    done = release_model(repository=str(repositories.notebooks))

    assert repositories.releases() == [done.release_id]
    assert git(repositories.fleet, "rev-parse", "main~1") == pushed[0]
    text = git(repositories.fleet, "show", "main:apps/wine/deployment.yaml")
    assert done.image.reference in text
    assert text.endswith("# ours")


def test_two_releases_of_one_commit_at_the_same_time_end_as_one(
    prefect_api: str, home: Path, repositories: Repositories
) -> None:
    repositories.push_small()
    command = [
        sys.executable,
        "-m",
        "deployments.cli",
        "release",
        str(repositories.notebooks),
        "--output",
        "json",
    ]
    both = [
        subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    ends = [(*process.communicate(timeout=300), process.returncode) for process in both]

    assert [code for _, _, code in ends] == [0, 0], ends
    assert len(repositories.releases()) == 1
    assert len(list((home / "runs").glob("*/run.json"))) == 1

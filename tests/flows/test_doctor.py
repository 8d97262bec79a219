import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client

from flows import doctor
from flows.blocks import (
    ArtifactStore,
    FleetRepository,
    ImageRegistry,
    KubeflowEndpoint,
    KubernetesCluster,
    NotebookRepository,
)
from tests.fakes import git_server
from tests.fakes.object_store import ObjectStore
from tests.fakes.registry import Registry
from tests.repositories import Repositories

pytestmark = pytest.mark.usefixtures("prefect_api", "home")


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[Any]:
    """Saves blocks under a name that no other test has; they are gone afterwards."""
    names: list[tuple[type[Block], str]] = []
    prefix = "doctor-" + str(abs(hash(tmp_path)))

    def save(block: Block, name: str) -> str:
        names.append((type(block), f"{prefix}-{name}"))
        block.save(names[-1][1])
        return names[-1][1]

    yield save
    for kind, name in names:
        kind.delete(name)


def examined() -> dict[str, doctor.Finding]:
    return {finding.subject: finding for finding in doctor.examine(lambda _line: None)}


def test_everything_that_works_is_told_so(
    saved: Any, repositories: Repositories, registry: Registry, object_store: ObjectStore, bucket: str
) -> None:
    repositories.push_small()
    with git_server.running(repositories.notebooks.parent) as git:
        address, token = git.address, git.password
        notebooks = saved(
            NotebookRepository(
                address=f"{address}/notebooks.git", username="ada", token=token, webhook_secret="s"
            ),
            "notebooks",
        )
        fleet = saved(FleetRepository(address=f"{address}/fleet.git", username="ada", token=token), "fleet")
        store = saved(ArtifactStore(address=f"s3://{bucket}/runs"), "store")
        images = saved(ImageRegistry(host=registry.address, repository="models/wine"), "images")
        found = examined()
    assert found[f"notebook repository {notebooks}"].said.startswith("small at ")
    assert found[f"fleet repository {fleet}"].said.endswith("can be pushed to")
    assert found[f"artifact store {store}"].said.endswith("can be written to")
    assert found[f"image registry {images}"].said.endswith("takes uploads")
    assert object_store.objects(bucket) == {}
    assert registry.made("PUT") == 0


def test_every_failure_is_told_with_what_to_do(
    saved: Any, repositories: Repositories, registry: Registry, object_store: ObjectStore
) -> None:
    repositories.push_small()
    registry.auth = "basic"
    with git_server.running(repositories.notebooks.parent) as git:
        git.read_only.add("fleet.git")
        blocks: dict[str, Block] = {
            "notebook repository": NotebookRepository(
                address=f"{git.address}/notebooks.git", username="ada", token="wrong"
            ),
            "fleet repository": FleetRepository(
                address=f"{git.address}/fleet.git", username="ada", token=git.password
            ),
            "artifact store": ArtifactStore(address="s3://there-is-no-such-bucket"),
            "image registry": ImageRegistry(
                host=registry.address, repository="models/wine", username="eve", password="guess"
            ),
            "Kubeflow": KubeflowEndpoint(address="http://127.0.0.1:1"),
            "cluster": KubernetesCluster(kubeconfig="apiVersion: v1\nkind: Config\n"),
        }
        names = {kind: saved(block, "broken") for kind, block in blocks.items()}
        found = examined()
    for kind, name in names.items():
        error = found[f"{kind} {name}"].error
        assert error is not None, kind
        assert error.next_step, kind
        assert not any(secret in str(error) for secret in ("wrong", "guess", git.password))


def test_a_block_that_prefects_form_took_and_ours_does_not_is_told_and_stops_no_other(saved: Any) -> None:
    spoilt = FleetRepository(address="https://git.example.com/fleet.git")
    spoilt.address = "https://ada:pa55@git.example.com/fleet.git"
    name = saved(spoilt, "spoilt")
    found = examined()
    error = found[f"fleet repository {name}"].error
    assert error is not None
    assert "address: " in error.why
    assert "pa55" not in str(error)
    assert "Prefect" in found


def test_a_token_is_no_argument_of_git(
    saved: Any, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repositories.push_small()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "git"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    with git_server.running(repositories.notebooks.parent) as git:
        name = saved(
            FleetRepository(address=f"{git.address}/fleet.git", username="ada", token=git.password), "fleet"
        )
        assert examined()[f"fleet repository {name}"].error is None
    said = (tmp_path / "arguments").read_text()
    assert "push" in said
    assert git.password not in said
    assert git.authorization.split()[1] not in said


def test_a_repository_without_a_webhook_secret_is_told_so(saved: Any, repositories: Repositories) -> None:
    repositories.push_small()
    name = saved(NotebookRepository(address=str(repositories.notebooks)), "unsigned")
    error = examined()[f"notebook repository {name}"].error
    assert error is not None
    assert "webhook" in error.what


def test_a_pool_without_workers_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFLIGHT_WORK_POOL", "nobody-works-here")
    error = examined()["Prefect"].error
    assert error is not None
    assert "modelflight up" in error.next_step


def test_workers_that_are_online_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate

    monkeypatch.setenv("MODELFLIGHT_WORK_POOL", "doctor-pool")
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="doctor-pool", type="process"))
        client._client.post("/work_pools/doctor-pool/workers/heartbeat", json={"name": "one"})
    assert "1 worker(s)" in examined()["Prefect"].said


def test_the_verb_fails_when_something_cannot_be_used(saved: Any) -> None:
    name = saved(ArtifactStore(address="file:///dev/null/store"), "store")
    command = [sys.executable, "-m", "deployments.cli", "doctor", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings[f"artifact store {name}"]["error"]["next"]

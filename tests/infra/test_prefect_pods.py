"""Releases in pods of the Kubernetes work pool, which come and go with all that is on their disks."""

import re
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.object_store import ObjectStore
from tests.fakes.registry import Registry
from tests.flows.served import Served
from tests.infra import pods
from tests.repositories import FLEET, SMALL_SETTINGS, TOP, Repositories, git

BUCKET = "example-models"
PATIENCE = 300  # seconds
README = TOP / "infra" / "prefect" / "README.md"
EXAMPLE_REGISTRY = "registry.example.com"


@dataclass(frozen=True)
class Cluster:
    """A Prefect API with a Kubernetes work pool; `secret` is what pods are given to reach S3 and registry."""

    prefect: Served
    secret: Mapping[str, str]
    folder: Path

    def pod(self, run: str) -> Any:
        """The next pod of the flow run."""
        return pods.pod(pods.job_of(run, self.prefect.pool), self.folder, self.secret)

    def finish(self, run: str) -> None:
        """Runs the flow run's next pod to its end."""
        with self.pod(run) as process:
            assert process.wait(PATIENCE) == 0, self.said

    @property
    def said(self) -> str:
        """What the pods printed."""
        return (self.folder / "log").read_text()


@pytest.fixture
def cluster(
    prefect_api: str, registry: Registry, object_store: ObjectStore, repositories: Repositories,
    docker_config: Path, tmp_path: Path,
) -> Cluster:  # fmt: skip
    with object_store.client() as client:
        if BUCKET not in {each["Name"] for each in client.list_buckets()["Buckets"]}:
            object_store.bucket(BUCKET)
    run_in_readme("S3Bucket")
    path = "apps/wine/deployment.yaml"
    text = (FLEET / path).read_text().replace(EXAMPLE_REGISTRY, registry.address)
    repositories.push_fleet({path: text})
    pool = f"kubernetes-{secrets.token_hex(4)}"
    pods.make_work_pool(pool)
    secret = {**object_store.environment(), "DOCKER_CONFIG": str(docker_config.parent)}
    return Cluster(Served(prefect_api, pool), secret, tmp_path)


def run_in_readme(word: str) -> None:
    """Runs the README's program in which `word` stands."""
    (program,) = [
        text for text in re.findall(r"<<'END'\n(.*?)\nEND\n", README.read_text(), re.DOTALL) if word in text
    ]
    subprocess.run([sys.executable, "-c", program], check=True)


def eventually(path: Path, process: subprocess.Popen[bytes], cluster: Cluster) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, cluster.said
        assert time.monotonic() < deadline, cluster.said
        time.sleep(0.1)


@pytest.mark.worker
def test_a_release_that_dies_with_its_pod_goes_on_in_another(
    cluster: Cluster,
    repositories: Repositories,
    registry: Registry,
    object_store: ObjectStore,
    tmp_path: Path,
) -> None:
    trains = tmp_path / "trains"
    hang = (
        f"import pathlib, time\ntrains = pathlib.Path({str(trains)!r})\n"
        "if not trains.exists():\n    trains.touch()\n    time.sleep(600)\n"
    )
    settings = SMALL_SETTINGS.replace(EXAMPLE_REGISTRY, registry.address)
    repositories.push_small(settings, train=f"{hang}model = {{'weight': weight}}")
    run = cluster.prefect.start(pods.deploy_small(repositories, cluster.prefect.pool))
    with cluster.pod(run) as process:
        eventually(trains, process, cluster)
    assert cluster.prefect.run(run)["state"]["name"] == "Running"  # nobody could tell Prefect
    cluster.prefect.retry(run)

    cluster.finish(run)

    cluster.prefect.wait(run, "Untracked")
    assert cluster.prefect.steps(run)["fetch notebooks"] == 1  # its result was in the bucket
    assert cluster.prefect.steps(run)["run pipeline"] == 2
    kept = object_store.objects(BUCKET)
    assert any(key.startswith("results/") for key in kept)
    assert any(key.startswith("runs/small/") for key in kept)
    assert len(repositories.releases()) == 1
    assert git(repositories.fleet, "rev-list", "--count", "main") == "3"

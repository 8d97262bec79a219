"""A Git server's pushes reach the webhook receiver of `modelflight up`, and start releases."""

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import httpx
import pytest

from tasks.release import ReleaseId
from tests.system.testbed.example import BUCKET, Example
from tests.system.testbed.registry import Distribution
from tests.system.testbed.up import Up
from tests.system.testbed.versitygw import VersityGateway

NOTEBOOK = "wine.ipynb"
OCI = {"Accept": "application/vnd.oci.image.index.v1+json"}


@dataclass(frozen=True)
class Pushing:
    """The example with a webhook that leads to `up`."""

    example: Example
    up: Up
    webhook: int


@pytest.fixture(scope="module")
def pushing(example: Example, up: Up) -> Pushing:
    gitea, repository = example.notebooks.gitea, example.notebooks.repository
    webhook = gitea.add_webhook(repository, up.webhook(repository), example.webhook_secret)
    return Pushing(example, up, webhook)


def test_a_push_releases_its_commit_into_the_fleet(
    pushing: Pushing, registry: Distribution, object_store: VersityGateway
) -> None:
    up, fleet, notebooks = pushing.up, pushing.example.fleet, pushing.example.notebooks
    notebooks.change(NOTEBOOK, "Which grape is this", "From which grape is this")
    commit = notebooks.push("Better words")

    run = up.wait_for_state(up.wait_for_run_of(commit), "Untracked")

    assert f"commit:{commit[:12]}" in run["tags"]
    release = ReleaseId(run["name"])
    assert release == ReleaseId.of("wine", commit, 1)
    carried = fleet.pull()
    message = fleet.git("show", "--no-patch", "--format=%B", carried)
    assert f"Notebook-Commit: {commit}" in message
    [digest] = [line.split()[1] for line in message.splitlines() if line.startswith("Model-Image-Digest:")]
    deployed = (fleet.folder / "apps/wine/deployment.yaml").read_text()
    assert re.search(rf"reference: {registry.address}/models/wine:\S+@{digest}\n", deployed)
    assert httpx.head(f"{registry.url}/v2/models/wine/manifests/{digest}", headers=OCI).is_success
    with closing(object_store.client()) as client:
        kept = client.list_objects_v2(Bucket=BUCKET, Prefix=f"runs/wine/{release.run_id}/")["Contents"]
    assert any(found["Key"].endswith("/model.joblib") for found in kept)


def push_a_readme(pushing: Pushing) -> None:
    (pushing.example.notebooks.folder / "README.md").write_text("# Wines\n")
    pushing.example.notebooks.push("A file that belongs to no model")


def push_what_is_not_to_be_released(pushing: Pushing) -> None:
    pushing.example.notebooks.change(NOTEBOOK, "grape", "variety of grape")
    pushing.example.notebooks.push("Try something [skip release]")


def press_test_delivery(pushing: Pushing) -> None:
    notebooks = pushing.example.notebooks
    notebooks.gitea.send_test_delivery(notebooks.repository, pushing.webhook)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (push_a_readme, "No file of a model changed."),
        (push_what_is_not_to_be_released, "The commit's message says [skip release]."),
        (press_test_delivery, "No commit was pushed"),
    ],
)
def test_starts_nothing(pushing: Pushing, act: Callable[[Pushing], None], reason: str) -> None:
    up = pushing.up
    answered, runs = len(up.deliveries()), up.runs()

    act(pushing)

    up.wait_for(lambda: len(up.deliveries()) > answered, "told of it by the Git server")
    [delivery] = up.deliveries()[answered:]
    assert (delivery["status"], delivery["forge"]) == (200, "gitea")
    assert delivery["reason"].startswith(reason)
    assert [run["id"] for run in up.runs()] == [run["id"] for run in runs]

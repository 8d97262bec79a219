"""Delivery from Git: the cluster becomes what the branch says, stays so, and says so when it cannot."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repositories import git
from tests.system.testbed.cluster import Cluster
from tests.system.testbed.git_source import SOURCE, GitSource
from tests.system.testbed.gitea import Gitea
from tests.system.testbed.kubernetes_api import KubernetesApi, Manifest, holds, named

KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/v1"


class Fleet:
    """A repository that the cluster is delivered from into one namespace."""

    def __init__(self, api: KubernetesApi, url: str, work: Path, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._url = url
        self._work = work
        (work / "apps").mkdir(parents=True)
        git(work, "init", "--quiet")

    @property
    def source(self) -> Manifest:
        """The cluster's view of the repository."""
        return {
            **named(SOURCE, "GitRepository", "fleet", self.namespace),
            "spec": {"url": self._url, "ref": {"branch": "main"}, "interval": "1m"},
        }

    @property
    def kustomization(self) -> Manifest:
        """What of it is delivered, and how."""
        return {
            **named(KUSTOMIZATION, "Kustomization", "fleet", self.namespace),
            "spec": {
                "sourceRef": {"kind": "GitRepository", "name": "fleet"},
                "path": "./apps",
                "interval": "2s",
                "retryInterval": "1s",
                "prune": True,
            },
        }

    def push(self, **settings: object) -> str:
        """Pushes one ConfigMap for each setting, and nothing else; returns the revision as Flux names it."""
        for file in (self._work / "apps").iterdir():
            file.unlink()
        for name, value in settings.items():
            manifest = {**named("v1", "ConfigMap", name, self.namespace), "data": {"value": value}}
            (self._work / "apps" / f"{name}.yaml").write_text(json.dumps(manifest))
        git(self._work, "add", "--all")
        git(self._work, "commit", "--quiet", "--message=Change")
        git(self._work, "push", "--quiet", self._url, "HEAD:refs/heads/main")
        return f"main@sha1:{git(self._work, 'rev-parse', 'HEAD')}"

    def wait_for(self, revision: str) -> None:
        """Waits until a revision has arrived."""

        def has_arrived(found: Manifest) -> bool:
            applied: str = found.get("status", {}).get("lastAppliedRevision", "")
            return applied == revision and holds("Ready")(found)

        self.api.wait_for(self.kustomization, has_arrived, f"at {revision}")

    def complaint(self, manifest: Manifest, reason: str) -> str:
        """What an object says when it is not ready for that reason."""

        def made(found: Manifest) -> list[str]:
            conditions = found.get("status", {}).get("conditions", ())
            wanted = ("Ready", "False", reason)
            return [
                entry["message"]
                for entry in conditions
                if (entry["type"], entry["status"], entry["reason"]) == wanted
            ]

        [message] = made(self.api.wait_for(manifest, lambda found: bool(made(found)), f"refused: {reason}"))
        return message

    def setting(self, name: str) -> str | None:
        """What the cluster has for a setting."""
        found = self.api.get(named("v1", "ConfigMap", name, self.namespace))
        return found["data"]["value"] if found else None


@pytest.fixture
def fleet(
    cluster: Cluster,
    git_source: GitSource,
    gitea: Gitea,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Fleet:
    for name, value in gitea.git_environment().items():
        monkeypatch.setenv(name, value)
    repository = f"fleet-{secrets.token_hex(4)}"
    gitea.create_repository(repository)
    return Fleet(cluster.api, gitea.clone_url(repository), tmp_path / "work", namespace)


@pytest.fixture
def delivered(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet whose first commit has arrived."""
    revision = fleet.push(champion="v1", kept="yes")
    fleet.api.apply(fleet.source, fleet.kustomization)
    fleet.wait_for(revision)
    yield fleet
    fleet.api.delete(fleet.kustomization)  # else it would go on in a namespace that goes


def test_the_first_commit_is_applied(delivered: Fleet) -> None:
    assert (delivered.setting("champion"), delivered.setting("kept")) == ("v1", "yes")


def test_a_new_commit_is_applied(delivered: Fleet) -> None:
    delivered.wait_for(delivered.push(champion="v2", kept="yes"))
    assert delivered.setting("champion") == "v2"


def test_what_a_commit_takes_away_is_deleted(delivered: Fleet) -> None:
    delivered.wait_for(delivered.push(kept="yes"))
    assert (delivered.setting("champion"), delivered.setting("kept")) == (None, "yes")


def test_what_somebody_deletes_comes_back(delivered: Fleet) -> None:
    delivered.api.delete(named("v1", "ConfigMap", "champion", delivered.namespace))
    delivered.api.wait_until(lambda: delivered.setting("champion") == "v1", "the object comes back")


def test_a_broken_manifest_is_told_and_changes_nothing(delivered: Fleet) -> None:
    delivered.push(champion="v2", kept=["a", "list"])
    complaint = delivered.complaint(delivered.kustomization, "ReconciliationFailed")
    assert f"ConfigMap/{delivered.namespace}/kept" in complaint
    assert delivered.setting("champion") == "v1"


def test_a_repository_without_the_branch_is_told(fleet: Fleet) -> None:
    fleet.api.apply(fleet.source)
    assert "refs/heads/main" in fleet.complaint(fleet.source, "GitOperationFailed")

"""Delivery from Git: the cluster becomes what the branch says, stays so, and says so when it cannot."""

import json

import pytest

from tests.repositories import git
from tests.system.testbed.git_source import SOURCE
from tests.system.testbed.kubernetes_api import holds, named

KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/v1"


class Fleet:
    """A repository that the cluster is delivered from into one namespace."""

    def __init__(self, api, folder, namespace):
        self.api = api
        self.namespace = namespace
        self._bare = folder / "fleet.git"
        self._work = folder / "work"
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self._bare))
        git(folder, "clone", "--quiet", str(self._bare), str(self._work))

    @property
    def source(self):
        """The cluster's view of the repository."""
        return {
            **named(SOURCE, "GitRepository", "fleet", self.namespace),
            "spec": {"url": str(self._bare), "ref": {"branch": "main"}, "interval": "1m"},
        }

    @property
    def kustomization(self):
        """What of it is delivered, and how."""
        return {
            **named(KUSTOMIZATION, "Kustomization", "fleet", self.namespace),
            "spec": {
                "sourceRef": {"kind": "GitRepository", "name": "fleet"},
                "path": "./apps",
                "targetNamespace": self.namespace,
                "interval": "2s",
                "retryInterval": "1s",
                "prune": True,
            },
        }

    def push(self, **settings):
        """Commits one ConfigMap for each setting, and nothing else; returns the revision as Flux names it."""
        apps = self._work / "apps"
        apps.mkdir(exist_ok=True)
        for file in apps.iterdir():
            file.unlink()
        for name, value in settings.items():
            manifest = {**named("v1", "ConfigMap", name, self.namespace), "data": {"value": value}}
            (apps / f"{name}.yaml").write_text(json.dumps(manifest))
        git(self._work, "add", "--all")
        git(self._work, "commit", "--quiet", "--message=Change")
        git(self._work, "push", "--quiet", "origin", "HEAD:main")
        return f"main@sha1:{git(self._work, 'rev-parse', 'HEAD')}"

    def wait_for(self, revision):
        self.api.wait_for(
            self.kustomization,
            lambda found: holds("Ready")(found) and found["status"]["lastAppliedRevision"] == revision,
            f"at {revision}",
        )

    def wait_for_failure(self, manifest):
        """What an object's Ready condition says when it is false."""

        def has_failed(found):
            return ready_of(found)["status"] == "False" and ready_of(found)["reason"] != "Progressing"

        return ready_of(self.api.wait_for(manifest, has_failed, "failing"))["message"]

    def setting(self, name):
        found = self.api.get(named("v1", "ConfigMap", name, self.namespace))
        return found and found["data"]["value"]


def ready_of(found):
    conditions = found.get("status", {}).get("conditions", ())
    return next(
        (entry for entry in conditions if entry["type"] == "Ready"), {"status": "Unknown", "reason": ""}
    )


@pytest.fixture
def fleet(cluster, kustomize_controller, git_source, namespace, tmp_path):
    fleet = Fleet(cluster.api, tmp_path, namespace)
    yield fleet
    cluster.api.delete(fleet.kustomization)  # else it would fill a namespace that goes


@pytest.fixture
def delivered(fleet):
    """A fleet whose first commit has arrived."""
    revision = fleet.push(champion="v1", kept="yes")
    fleet.api.apply(fleet.source, fleet.kustomization)
    fleet.wait_for(revision)
    return fleet


def test_the_first_commit_is_applied(delivered):
    assert (delivered.setting("champion"), delivered.setting("kept")) == ("v1", "yes")


def test_a_new_commit_is_applied(delivered):
    delivered.wait_for(delivered.push(champion="v2", kept="yes"))
    assert delivered.setting("champion") == "v2"


def test_what_a_commit_takes_away_is_deleted(delivered):
    delivered.wait_for(delivered.push(kept="yes"))
    assert (delivered.setting("champion"), delivered.setting("kept")) == (None, "yes")


def test_what_somebody_deletes_comes_back(delivered):
    delivered.api.delete(named("v1", "ConfigMap", "champion", delivered.namespace))
    delivered.api.wait_until(lambda: delivered.setting("champion") == "v1", "the object comes back")


def test_a_broken_manifest_is_told_and_changes_nothing(delivered):
    delivered.push(champion="v2", kept=["not", "a", "string"])
    assert "ConfigMap" in delivered.wait_for_failure(delivered.kustomization)
    assert delivered.setting("champion") == "v1"


def test_a_repository_that_cannot_be_read_is_told(fleet):
    fleet.api.apply(fleet.source)  # without a commit there is no branch
    assert "refs/heads/main" in fleet.wait_for_failure(fleet.source)

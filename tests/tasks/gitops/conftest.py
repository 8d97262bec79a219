"""A real fleet repository: bare, with people who commit to it and hooks that refuse."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.gitops.target import FleetTarget

IMAGE = "registry.example.com/models/wine"
PERSON = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in {"NAME": "Person", "EMAIL": "person@example.com"}.items()
}


@dataclass(frozen=True)
class BareFleet:
    directory: Path

    @property
    def address(self) -> str:
        return str(self.directory)

    def target(self, path: str = "apps/wine", image: str = IMAGE, branch: str = "main") -> FleetTarget:
        return FleetTarget(self.address, branch, path, image)

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        environment = os.environ | PERSON | {"GIT_INDEX_FILE": str(self.directory / "people.index")}
        command = ["git", f"--git-dir={self.directory}", *arguments]
        return subprocess.run(command, input=stdin, env=environment, check=True, capture_output=True).stdout

    def word(self, *arguments: str, stdin: bytes = b"") -> str:
        return self.git(*arguments, stdin=stdin).decode().strip()

    def commit(
        self,
        files: Mapping[str, bytes],
        message: str = "A person's change",
        branch: str = "main",
        mode: str = "100644",
    ) -> str:
        """A commit on top of the branch (which it creates) that sets the files."""
        parents = self.word("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").split()
        self.git("read-tree", *(parents or ["--empty"]))
        for path, content in files.items():
            blob = self.word("hash-object", "-w", "--stdin", stdin=content)
            self.git("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}")
        tree = self.word("write-tree")
        flags = [argument for parent in parents for argument in ("-p", parent)]
        commit = self.word("commit-tree", tree, *flags, "-m", message)
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def read(self, file: str, revision: str = "main") -> bytes:
        return self.git("cat-file", "blob", f"{revision}:{file}")

    def log(self, branch: str = "main") -> list[str]:
        """Commits, oldest first."""
        return self.word("rev-list", "--reverse", branch).split()

    def message(self, commit: str) -> str:
        return self.git("log", "-1", "--format=%B", commit).decode()

    @staticmethod
    def manifest(image: str = IMAGE, rollout_id: str | None = "none") -> bytes:
        """A pod template with the image, and with the annotation unless `rollout_id` is None."""
        note = f"      annotations: {{modelflight.dev/rollout-id: {rollout_id}}}\n" if rollout_id else ""
        return (
            f"kind: Deployment\nspec:\n  template:\n    metadata:\n      labels: {{app: wine}}\n{note}"
            f"    spec:\n      volumes:\n        - name: model  # the model\n          image:\n"
            f"            reference: {image}\n            pullPolicy: IfNotPresent\n"
        ).encode()

    @staticmethod
    def reference(number: int, image: str = IMAGE) -> str:
        return f"{image}:v{number}@sha256:{number:064x}"

    def hook(self, name: str, script: str) -> None:
        hook = self.directory / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)


@pytest.fixture(autouse=True)
def _nobody_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in (*PERSON, "EMAIL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def empty_fleet(tmp_path: Path) -> BareFleet:
    directory = tmp_path / "fleet.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(directory)], check=True)
    return BareFleet(directory)


@pytest.fixture
def fleet(empty_fleet: BareFleet) -> BareFleet:
    """A fleet with one model; a service beside it, and another model's folder of nearly the same name."""
    empty_fleet.commit(
        {
            "apps/wine/deployment.yaml": BareFleet.manifest(),
            "apps/wine/service.yaml": b"kind: Service\n",
            "apps/winery/deployment.yaml": BareFleet.manifest("registry.example.com/models/winery:1"),
            "README.md": f"The image is {IMAGE}.\n".encode(),
        }
    )
    return empty_fleet

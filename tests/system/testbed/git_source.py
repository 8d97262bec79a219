"""What Flux's source-controller does for Git repositories; not all modules of that program can be had.

For each GitRepository in the cluster it watches the branch, serves its newest commit as an archive, and says
so in the object's status (source.toolkit.fluxcd.io/v1). It looks several times a second at all of them.
"""

import hashlib
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from tests.system.testbed.command import CommandFailed, output
from tests.system.testbed.component import Component, answers
from tests.system.testbed.kubernetes_api import KubernetesApi, Manifest
from tests.system.testbed.ports import free_port

ROOT = Path(__file__).parents[3]
SOURCE = "source.toolkit.fluxcd.io/v1"
BETWEEN_LOOKS = 0.5  # seconds


class GitSource(Component):
    """The source of all GitRepositories, which kustomize-controller's definitions must be installed for.

    Args:
        folder: where clones and archives are.
        kubeconfig: the cluster.
        credentials: what Git finds in its environment, to be let in.
    """

    name = "git-source"

    def __init__(self, folder: Path, kubeconfig: Path, credentials: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self._port = free_port()
        self._kubeconfig = kubeconfig
        self._credentials = credentials or {}

    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT), "GIT_TERMINAL_PROMPT": "0", **self._credentials}

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", __name__, self._kubeconfig, self.folder, str(self._port)]

    def is_ready(self) -> bool:
        return answers(f"http://127.0.0.1:{self._port}/")


@dataclass(frozen=True)
class Storage:
    """Clones, and the archives that are served at `address`."""

    folder: Path
    address: str

    @property
    def served(self) -> Path:
        """The folder of the archives."""
        return self.folder / "archives"

    def publish(self, name: str, url: str, branch: str) -> Mapping[str, object]:
        """The status's `artifact` for a branch as it is now.

        Raises:
            CommandFailed: the repository cannot be read, or has no such branch.
        """
        commit = output("git", "ls-remote", "--exit-code", url, f"refs/heads/{branch}").split()[0]
        archive = self.served / name / f"{commit}.tar.gz"
        if not archive.exists():
            self._archive(name, url, commit, archive)
        return {
            "path": f"{name}/{archive.name}",
            "url": f"{self.address}/{name}/{archive.name}",
            "revision": f"{branch}@sha1:{commit}",
            "digest": f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}",
            "size": archive.stat().st_size,
            "lastUpdateTime": _time(archive.stat().st_mtime),
        }

    def _archive(self, name: str, url: str, commit: str, archive: Path) -> None:
        clone = self.folder / "clones" / f"{name}.git"
        output("git", "init", "--quiet", "--bare", clone)
        output("git", "fetch", "--quiet", "--depth=1", url, commit, folder=clone)
        archive.parent.mkdir(parents=True, exist_ok=True)
        half = archive.with_suffix(".half")
        output("git", "archive", "--format=tar.gz", f"--output={half}", commit, folder=clone)
        half.rename(archive)


def status(repository: Manifest, storage: Storage) -> dict[str, Any]:
    """What a GitRepository's status should be. Without `artifact`, the one that is there stays."""
    metadata, specification = repository["metadata"], repository["spec"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    branch = specification.get("ref", {}).get("branch", "master")
    try:
        artifact = storage.publish(name, specification["url"], branch)
    except CommandFailed as error:
        return _with_condition(repository, "False", "GitOperationFailed", str(error), {})
    stored = f"stored artifact for revision '{artifact['revision']}'"
    return _with_condition(repository, "True", "Succeeded", stored, {"artifact": artifact})


def _with_condition(
    repository: Manifest, state: str, reason: str, message: str, rest: Mapping[str, Any]
) -> dict[str, Any]:
    generation = repository["metadata"]["generation"]
    condition = {
        "type": "Ready",
        "status": state,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }
    [former] = repository.get("status", {}).get("conditions") or [{}]
    same = former.get("status") == state
    since = former["lastTransitionTime"] if same else _time(time.time())
    return {
        **rest,
        "observedGeneration": generation,
        "conditions": [condition | {"lastTransitionTime": since}],
    }


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def main(kubeconfig: Path, folder: Path, port: int) -> None:
    """Serves, and looks, for ever."""
    api = KubernetesApi(kubeconfig)
    storage = Storage(folder, f"http://127.0.0.1:{port}")
    storage.served.mkdir(exist_ok=True)
    server = ThreadingHTTPServer(
        ("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=storage.served)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        try:
            for repository in api.list(SOURCE, "GitRepository", namespace=None):
                wanted = status(repository, storage)
                if any(repository.get("status", {}).get(field) != value for field, value in wanted.items()):
                    api.patch(repository, {"status": wanted}, subresource="status")
        except (ApiException, HTTPError) as error:  # the object, or the API server, is just gone
            print(error, file=sys.stderr, flush=True)
        time.sleep(BETWEEN_LOOKS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

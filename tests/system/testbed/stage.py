"""The stage of a release: repositories on the Git server, a registry, a fleet that reaches the cluster.

Tests and the playground share it: what a person tries is what the tests ran.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.repositories import EXAMPLE
from tests.system.testbed import images
from tests.system.testbed.cluster import Cluster
from tests.system.testbed.command import output
from tests.system.testbed.git_source import SOURCE
from tests.system.testbed.gitea import Gitea
from tests.system.testbed.kubernetes_api import named
from tests.system.testbed.prefect_server import PrefectServer
from tests.system.testbed.registry import Distribution
from tests.system.testbed.versitygw import VersityGateway
from tests.system.testbed.working_copy import WorkingCopy

FLEET = Path(__file__).parents[1] / "fleet"
EXAMPLE_REGISTRY = "registry.example.com"
BUCKET = "models"


@dataclass(frozen=True)
class Stage:
    """Everything that a release meets; `folder` holds working copies of the two repositories."""

    folder: Path
    gitea: Gitea
    registry: Distribution
    object_store: VersityGateway
    prefect_server: PrefectServer
    cluster: Cluster

    @property
    def notebooks(self) -> str:
        """The notebook repository's address."""
        return self.gitea.clone_url("notebooks")

    @property
    def fleet(self) -> str:
        """The fleet repository's address."""
        return self.gitea.clone_url("fleet")

    @property
    def ports(self) -> tuple[int, ...]:
        """Where a person may want to look."""
        return (
            self.cluster.apiserver.port, self.gitea.port, self.registry.port, self.object_store.port,
            self.prefect_server.port,
        )  # fmt: skip

    def environment(self) -> Mapping[str, str]:
        """What a user of Modelflight sets to work with all this."""
        return {
            **self.gitea.git_environment(),
            **self.object_store.client_environment(),
            "MODELFLIGHT_ARTIFACTS": f"s3://{BUCKET}/runs",
            "MODELFLIGHT_HOME": str(self.folder / "home"),
            "MODELFLIGHT_IMAGES": "registry",
            "PREFECT_API_URL": self.prefect_server.api,
            "PREFECT_HOME": str(self.folder / "prefect"),
        }

    def prepare(self) -> None:
        """Makes the bucket, the model server's image, and both repositories with the example in them."""
        self.object_store.bucket(BUCKET)
        web = images.with_busybox().push(f"{self.registry.address}/web")
        replaced = {
            f"{EXAMPLE_REGISTRY}/web": web,
            EXAMPLE_REGISTRY: self.registry.address,
            "../fleet.git": self.fleet,
        }
        for name, content in (("notebooks", EXAMPLE), ("fleet", FLEET)):
            self._copy(name).publish(content, replaced)

    def push(self, name: str, message: str) -> None:
        """Commits what was changed in a working copy, and pushes it."""
        self._copy(name).push(message)

    def release(self, *arguments: str) -> Mapping[str, Any]:
        """Releases the example as a user does; what the command says, as JSON.

        Raises:
            CommandFailed: it did not end with a promoted or untracked release.
        """
        modelflight = Path(sys.executable).with_name("modelflight")
        said = output(
            modelflight, "release", self.notebooks, "--output", "json", *arguments,
            environment=self.environment(), folder=self.folder,
        )  # fmt: skip
        found: Mapping[str, Any] = json.loads(said)
        return found

    def deliver(self) -> None:
        """Has the cluster follow the fleet repository from now on."""
        source = named(SOURCE, "GitRepository", "fleet")
        kustomization = named("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "fleet")
        self.cluster.api.apply(
            {**source, "spec": {"url": self.fleet, "ref": {"branch": "main"}, "interval": "1m"}},
            {
                **kustomization,
                "spec": {
                    "sourceRef": {"kind": "GitRepository", "name": "fleet"},
                    "path": "./apps/wine",
                    "interval": "1m",
                    "prune": True,
                },
            },
        )

    def _copy(self, name: str) -> WorkingCopy:
        return WorkingCopy(self.folder / name, self.gitea, name)

"""The example as a team has it: its repositories on the Git server, registered at `modelflight up`."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.repositories import EXAMPLE, FLEET
from tests.system.testbed.gitea import USER, Gitea
from tests.system.testbed.registry import Distribution
from tests.system.testbed.up import Up
from tests.system.testbed.versitygw import REGION, VersityGateway
from tests.system.testbed.working_copy import WorkingCopy

BUCKET = "releases"
_REGISTRY = "registry.example.com"


@dataclass(frozen=True)
class Example:
    """The two repositories; the notebook repository is registered by its own name, with the secret."""

    notebooks: WorkingCopy
    fleet: WorkingCopy
    webhook_secret: str

    @classmethod
    def publish(
        cls, folder: Path, gitea: Gitea, name: str, registry: str = _REGISTRY, more: str = ""
    ) -> Self:
        """Makes the repositories NAME and NAME-fleet.

        `registry` is where its images go; `more` are further lines of its model in modelflight.yaml.
        """
        notebooks = WorkingCopy(folder / name, gitea, name)
        fleet = WorkingCopy(folder / f"{name}-fleet", gitea, f"{name}-fleet")
        replaced = {
            "../fleet.git": f"../{fleet.repository}.git",
            "path: apps/wine}": "path: apps/wine}" + more,
            _REGISTRY: registry,
        }
        notebooks.publish(EXAMPLE, replaced)
        fleet.publish(FLEET, replaced)
        return cls(notebooks, fleet, secrets.token_hex(16))

    @property
    def deployment(self) -> str:
        """The name of its model's deployment."""
        return f"{self.notebooks.repository}.wine"

    def register(self, up: Up, registry: Distribution, object_store: VersityGateway) -> None:
        """Makes the blocks that its releases need, and waits for its deployment."""
        credentials = up.register(
            "minio-credentials",
            "versitygw",
            minio_root_user=object_store.access_key,
            minio_root_password=object_store.secret_key,
            region_name=REGION,
            aws_client_parameters={"endpoint_url": object_store.address},
        )
        store = up.register(
            "modelflight-artifact-store",
            "releases",
            address=f"s3://{object_store.bucket(BUCKET)}/runs",
            credentials={"$ref": {"block_document_id": credentials}},
        )
        up.register("modelflight-image-registry", "distribution", host=registry.address)
        login = {"username": USER, "token": self.fleet.gitea.token}
        up.register(
            "modelflight-fleet-repository", self.fleet.repository, address=self.fleet.address, **login
        )
        up.register(
            "modelflight-notebook-repository",
            self.notebooks.repository,
            address=self.notebooks.address,
            webhook_secret=self.webhook_secret,
            artifacts={"$ref": {"block_document_id": store}},
            **login,
        )
        up.wait_for_deployment(self.deployment)

"""What the receiver knows of Prefect: registered notebook repositories, and deployments of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

BLOCK_TYPE = "modelflight-notebook-repository"
RELEASE_FLOW = "release-model"
SYNC_DEPLOYMENT = "sync-models/sync-models"
_HIDDEN = "********"  # what Prefect shows for a secret: a block that was copied can hold it, and all know it


@dataclass(frozen=True)
class Registration:
    """One notebook repository and its branch; of the block's other secrets nothing is kept."""

    name: str
    address: str
    branch: str
    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def of_block(cls, document: Mapping[str, Any]) -> Self | None:
        """The registration that a block document with its secrets holds.

        None where it holds none: Prefect's API takes blocks of any content, also without a name.
        """
        data = document["data"]
        name, address, branch = document["name"], data.get("address"), data.get("branch") or "main"
        secrets = (data.get("webhook_secret") or "", data.get("previous_webhook_secret") or "")
        if not all(isinstance(each, str) for each in (name, address, branch, *secrets)):
            return None
        return cls(name, address, branch, tuple(each for each in secrets if each not in ("", _HIDDEN)))

    def is_at(self, repository: str) -> bool:
        """Whether the address leads to `repository`, a forge's `group/name`.

        Host and leading folders may differ: forges are reached by other names from inside, and below paths.
        """
        path = f"/{_path(self.address)}".removesuffix("/").removesuffix(".git").casefold()
        return path.endswith(f"/{repository}".casefold())


def _path(address: str) -> str:
    if "://" in address:
        return urlsplit(address).path.lstrip("/")
    host, colon, path = address.partition(":")  # git@host:group/name
    return (path if colon and "/" not in host else address).lstrip("/")


@dataclass(frozen=True)
class Deployed:
    """A model's deployment: `notebooks.wine`, and the patterns of the files that it is made of."""

    id: UUID
    name: str
    paths: tuple[str, ...]
    paused: bool = False

    @classmethod
    def of_deployment(cls, document: Mapping[str, Any]) -> Self:
        """What the API tells of a deployment."""
        prefix = "path:"
        paths = (tag.removeprefix(prefix) for tag in document["tags"] if tag.startswith(prefix))
        return cls(UUID(document["id"]), document["name"], tuple(sorted(paths)), bool(document["paused"]))

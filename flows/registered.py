"""What is registered in Prefect's blocks, as the chain needs it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from flows.blocks import ArtifactStore, FleetRepository, ImageRegistry, NotebookRepository
from flows.settings import Backends
from tasks.keyring import AwsAccess, Keyring, Login, held, holding

B = TypeVar("B", bound=Block)
C = TypeVar("C", Login, AwsAccess)


def blocks(kind: type[B]) -> dict[str, B]:
    """The blocks of a type by their names; none where nobody registered the type yet."""
    with get_client(sync_client=True) as client:
        try:
            documents: list[Any] = client.read_block_documents_by_type(kind.get_block_type_slug())
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            return {}
    return {document.name: kind._from_block_document(document) for document in documents}


@dataclass(frozen=True)
class Registered:
    """The blocks that a release may need, by their names."""

    notebooks: dict[str, NotebookRepository]
    fleets: dict[str, FleetRepository]
    registries: dict[str, ImageRegistry]
    stores: dict[str, ArtifactStore]

    @classmethod
    def read(cls) -> Self:
        """What the Prefect API has now."""
        return cls(
            blocks(NotebookRepository), blocks(FleetRepository), blocks(ImageRegistry), blocks(ArtifactStore)
        )

    @property
    def keyring(self) -> Keyring:
        """The credentials in all of them."""
        repositories = [*self.fleets.values(), *self.notebooks.values()]
        stores = [*self.stores.values(), *(each.artifacts for each in self.notebooks.values())]
        return Keyring(
            git=_known((each.address, each.login) for each in repositories if _over_http(each.address)),
            registries=_known((each.host, each.login) for each in self.registries.values()),
            buckets=_known((store.bucket, store.access) for store in stores if store),
        )

    def backends(self, repository: str, settings: Backends) -> Backends:
        """Where results of the notebook repository are stored; what the environment says goes before."""
        artifacts = settings.artifacts
        for block in self.notebooks.values():
            if block.address == repository.rstrip("/") and block.artifacts and not artifacts:
                artifacts = block.artifacts.address.rstrip("/")
        hosts = frozenset(block.host for block in self.registries.values())
        return replace(settings, artifacts=artifacts, hosts=hosts)


def _known(pairs: Iterable[tuple[str | None, C | None]]) -> dict[str, C]:
    return {name: credential for name, credential in pairs if name and credential}


def _over_http(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https")


@contextmanager
def registered(repository: str) -> Iterator[Backends]:
    """The backends of the notebook repository; while it is open, the blocks' credentials are at hand.

    Those that were at hand before, from who started the release, go before.
    """
    settings = Backends.from_environment()
    known = Registered.read()
    with holding(known.keyring | held()):
        yield known.backends(repository, settings)

"""What is registered in Prefect's blocks, as the chain needs it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import ValidationError

from flows.blocks import ArtifactStore, FleetRepository, ImageRegistry, NotebookRepository
from flows.settings import Backends
from tasks.address import redact
from tasks.errors import InvalidInput
from tasks.keyring import AwsAccess, Keyring, Login, held, holding

B = TypeVar("B", bound=Block)
C = TypeVar("C", Login, AwsAccess)
Broken = Mapping[str, InvalidInput]
"""What is wrong with blocks that cannot be used, by their names."""


def blocks(kind: type[B]) -> tuple[dict[str, B], Broken]:
    """The blocks of a type by their names, and what is wrong with those that cannot be used.

    None where nobody registered the type yet. Prefect's forms take what a block's own checks refuse.
    """
    with get_client(sync_client=True) as client:
        try:
            documents: list[Any] = client.read_block_documents_by_type(kind.get_block_type_slug())
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            return {}, {}
    usable, broken = {}, {}
    for document in documents:
        try:
            usable[document.name] = kind._from_block_document(document)
        except ValidationError as error:
            broken[document.name] = _told(kind, document.name, error)
    return usable, broken


def _told(kind: type[Block], name: str, error: ValidationError) -> InvalidInput:
    # What was filled in is not repeated: it may be a credential in a wrong place.
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    why = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems)
    return InvalidInput(
        "A block cannot be used as it is filled in.",
        where=f"{kind.get_block_type_name()} {name}",
        why=redact("\n".join(why)),
        next_step="Correct it in Prefect's pages (Blocks).",
    )


@dataclass(frozen=True)
class Registered:
    """The blocks that a release may need, by their names; of `broken` ones, what is wrong with them."""

    notebooks: dict[str, NotebookRepository]
    fleets: dict[str, FleetRepository]
    registries: dict[str, ImageRegistry]
    stores: dict[str, ArtifactStore]
    broken_notebooks: Broken
    broken_registries: Broken

    @classmethod
    def read(cls) -> Self:
        """What the Prefect API has now."""
        notebooks, broken_notebooks = blocks(NotebookRepository)
        registries, broken_registries = blocks(ImageRegistry)
        fleets, stores = blocks(FleetRepository)[0], blocks(ArtifactStore)[0]
        return cls(notebooks, fleets, registries, stores, broken_notebooks, broken_registries)

    def chosen(self, names: Collection[str]) -> tuple[dict[str, NotebookRepository], Broken]:
        """The notebook repositories of these names, or all; and what is wrong with the others of them.

        Raises:
            InvalidInput: a name is none of a registered repository.
        """
        known = {**self.notebooks, **self.broken_notebooks}
        if missing := [name for name in names if name not in known]:
            raise InvalidInput(
                f"There is no notebook repository {missing[0]!r}.",
                where="Prefect's blocks of the type Modelflight notebook repository",
                why=f"Registered are: {', '.join(known) or 'none'}.",
                next_step="Register it in Prefect's pages (Blocks), or name another.",
            )
        wanted = set(names or known)
        return (
            {name: each for name, each in self.notebooks.items() if name in wanted},
            {name: each for name, each in self.broken_notebooks.items() if name in wanted},
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
        """Where results of the notebook repository are stored; what the environment says goes before.

        Raises:
            InvalidInput: a registry's block cannot be used, so that nobody knows where images go.
        """
        if settings.registry is None:
            for error in self.broken_registries.values():
                raise error
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

"""Where artifacts are stored: objects below an address, one module for each scheme of addresses."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from tasks.address import redact
from tasks.artifacts.folder import open_folder
from tasks.artifacts.s3 import open_bucket
from tasks.errors import AddressInvalid


class Objects(Protocol):
    """Objects by key, which is a relative path with '/' between its parts; one appears whole or not at all.

    Methods raise ArtifactsUnreachable where trying again can help, and ArtifactFailed.
    """

    def check(self) -> None:
        """Raises unless objects can be found and written here; leaves nothing behind."""

    def version(self, key: str, size: int) -> str | None:
        """The version of the object of `size` bytes under `key`; None where there is no such object."""

    def get(self, key: str) -> bytes | None:
        """The content of a small object; None where there is none."""

    def read(self, key: str, version: str) -> Iterator[bytes]:
        """The content in pieces; raises ArtifactFailed where it is gone or of another version."""

    def write(self, key: str, pieces: Iterable[bytes], size: int) -> str:
        """Writes `size` bytes, over what is there, and returns their version."""

    def create(self, key: str, content: bytes) -> bytes:
        """Writes a small object unless there is one, and returns the one that is there then."""


_SCHEMES: dict[str, Callable[[str], AbstractContextManager[Objects]]] = {
    "file": open_folder,
    "s3": open_bucket,
}


def open_objects(address: str) -> AbstractContextManager[Objects]:
    """The objects below `address`; nothing is reached yet.

    Raises:
        AddressInvalid: there is no store of that scheme, or the address is malformed.
    """
    scheme = address.partition("://")[0]
    if scheme not in _SCHEMES:
        raise AddressInvalid(
            "Artifacts cannot be stored at this address.",
            where=redact(address),
            why="It begins with none of: " + ", ".join(f"{known}://" for known in _SCHEMES) + ".",
            next_step="Write s3://bucket/prefix or file:///folder, or unset MODELFLIGHT_ARTIFACTS.",
        )
    return _SCHEMES[scheme](address)

"""Artifacts in a folder: addresses `file:///folder`."""

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from tasks.address import redact
from tasks.errors import AddressInvalid, ArtifactFailed
from tasks.fault import reported
from tasks.files import check_writable

_PIECE = 1 << 20  # bytes read at a time
_WRITE = "The artifact cannot be stored."
_READ = "The artifact cannot be read."
_GONE = "Restore the file, or release again with the next --attempt."


def open_folder(address: str) -> AbstractContextManager["Folder"]:
    """The objects of a folder.

    Raises:
        AddressInvalid: it is no address of a folder of this machine.
    """
    parts = urlsplit(address)
    path = Path(os.fsdecode(unquote_to_bytes(parts.path)))
    if parts.netloc or not path.is_absolute() or parts.query or parts.fragment or "\0" in str(path):
        raise AddressInvalid(
            "The folder for artifacts cannot be used.",
            where=redact(address),
            why="It is no absolute path on this machine.",
            next_step="Write file:/// and the path, with %23 for # and %3F for ?.",
        )
    return nullcontext(Folder(path))


@dataclass(frozen=True)
class Folder:
    """Files below `root` as objects. Their versions are empty: a file system has no name for content."""

    root: Path

    def _path(self, key: str) -> Path:
        return self.root / os.fsdecode(key.encode())  # the same bytes whatever the locale

    def check(self) -> None:
        """See `Objects`."""
        with reported(ArtifactFailed, "Artifacts cannot be stored in this folder.", self.root):
            check_writable(self.root)

    def version(self, key: str, size: int) -> str | None:
        """See `Objects`."""
        with reported(ArtifactFailed, _READ, self.root):
            try:
                return "" if self._path(key).stat().st_size == size else None
            except FileNotFoundError:
                return None

    def get(self, key: str) -> bytes | None:
        """See `Objects`."""
        with reported(ArtifactFailed, _READ, self.root):
            try:
                return self._path(key).read_bytes()
            except FileNotFoundError:
                return None

    def read(self, key: str, version: str) -> Iterator[bytes]:
        """See `Objects`."""
        with reported(ArtifactFailed, _READ, self._path(key), _GONE):
            # What was a regular file when it was listed may be a link or a pipe by now.
            handle = os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb", buffering=0) as file:
                while piece := file.read(_PIECE):
                    yield piece

    def write(self, key: str, pieces: Iterable[bytes], size: int) -> str:
        """See `Objects`."""
        with reported(ArtifactFailed, _WRITE, self.root), _incoming(self._path(key), pieces) as whole:
            whole.replace(self._path(key))
        return ""

    def create(self, key: str, content: bytes) -> bytes:
        """See `Objects`."""
        with reported(ArtifactFailed, _WRITE, self.root), _incoming(self._path(key), [content]) as whole:
            with suppress(FileExistsError):
                self._path(key).hardlink_to(whole)
            return self._path(key).read_bytes()


@contextmanager
def _incoming(target: Path, pieces: Iterable[bytes]) -> Iterator[Path]:
    """A synced file with the content of `pieces` beside `target`, gone after the block unless moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.with_name(f".{uuid.uuid4().hex}.incoming")
    try:
        with path.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)

"""An OCI image layout folder (image-spec 1.1, image-layout.md), and how several writers share it.

Readers take no lock: every file appears whole or not at all, and `index.json` names only what is stored.
Writers change `index.json` one after another, under a lock on the file `.lock`.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import ImageCorrupt
from tasks.fault import readable
from tasks.oci.descriptor import Blob, Descriptor, canonical_json, json_object
from tasks.oci.incoming import Incoming, clear_abandoned
from tasks.oci.listing import Entry, entries_of, find
from tasks.release import Digest

_VERSION = {"imageLayoutVersion": "1.0.0"}
_PIECE = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class Layout:
    """The layout at `root`. Methods raise `OSError` as it comes and `ImageCorrupt` for wrong content."""

    root: Path

    @property
    def _blobs(self) -> Path:
        return self.root / "blobs" / "sha256"

    @property
    def _incoming(self) -> Path:
        return self.root / ".incoming"  # inside the layout: renaming needs one file system

    def prepare(self) -> None:
        """Makes the layout where it is missing, and clears what dead writers left; writers begin with it."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)
        with self.locked():
            clear_abandoned(self._incoming)
            if not (self.root / "oci-layout").exists():
                self._replace(self.root / "oci-layout", canonical_json(_VERSION))
            if not (self.root / "index.json").exists():
                self.list_entries([])

    def incoming(self) -> Incoming:
        """A file to write a large blob to; waits for the lock, which the caller does not hold."""
        with self.locked():
            return Incoming(self._incoming)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other writers, in this process or another, out of the block."""
        handle = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a forked child shares the handle
            os.close(handle)

    def entries(self) -> list[Entry]:
        """The entries of `index.json`, in its order; none where there is no such file."""
        try:
            return entries_of(self._index_json())
        except ValueError as error:
            raise _corrupt(self.root / "index.json", str(error)) from error

    def find(self, digest: Digest, media_type: str) -> Descriptor | None:
        """The descriptor of the first entry with this digest and media type, None where there is none."""
        try:
            return find(self.entries(), digest, media_type)
        except ValueError as error:
            raise _corrupt(self.root / "index.json", str(error)) from error

    def list_entries(self, entries: Sequence[Entry]) -> None:
        """Makes `entries` those of `index.json`, at once; the caller holds the lock and has their blobs."""
        for folder in (self._blobs, self._blobs.parent):
            _sync(folder)  # after a power cut, no entry without its blobs
        self._replace(self.root / "index.json", canonical_json({**self._index_json(), "manifests": entries}))
        _sync(self.root)

    def add(self, blob: Blob) -> None:
        """Stores `blob` unless it is there; the caller holds the lock."""
        if not self._has(blob.descriptor):
            self._replace(self._path(blob.descriptor), blob.content)

    def add_written(self, incoming: Incoming, descriptor: Descriptor) -> None:
        """Stores what `incoming` holds, already synced, unless it is there; the caller holds the lock."""
        if not self._has(descriptor):
            incoming.publish(self._path(descriptor))

    def read(self, descriptor: Descriptor) -> bytes:
        """The content of a small blob, checked against its size and digest."""
        path = self._path(descriptor)
        if not self._has(descriptor):  # before reading: a wrong entry may point at gigabytes
            raise _corrupt(path, f"there is no such blob of {descriptor.size} bytes")
        content = path.read_bytes()
        if (found := f"sha256:{hashlib.sha256(content).hexdigest()}") != descriptor.digest:
            raise _corrupt(path, f"its content has the digest {found}")
        return content

    def stream(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content of a blob of any size, in pieces."""
        with self._path(descriptor).open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def _path(self, descriptor: Descriptor) -> Path:
        return self._blobs / descriptor.digest.removeprefix("sha256:")

    def _has(self, descriptor: Descriptor) -> bool:
        try:
            found = self._path(descriptor).lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == descriptor.size

    def _replace(self, target: Path, content: bytes) -> None:
        with Incoming(self._incoming) as incoming:
            incoming.write(content)
            incoming.sync()
            incoming.publish(target)

    def _index_json(self) -> Mapping[str, object]:
        path = self.root / "index.json"
        try:
            return _object(path.read_bytes(), path)
        except FileNotFoundError:
            return {"schemaVersion": 2, "manifests": []}


def _object(content: bytes, path: Path) -> dict[str, Any]:
    try:
        return json_object(content)
    except ValueError as error:
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, why: str) -> ImageCorrupt:
    return ImageCorrupt(
        "The image layout is damaged.", readable(path), why, "Restore the layout, or pack into a new one."
    )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

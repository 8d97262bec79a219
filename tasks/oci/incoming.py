"""A file on its way into a layout: written under a temporary name, hashed as it grows, renamed when whole."""

import fcntl
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.release import Digest

# Who is still writing: every writer holds an exclusive flock on its own temporary file until that file is
# renamed or removed, and the kernel drops the lock when the writer dies, however it dies. A temporary file
# whose lock can be taken is therefore nobody's. The moment between creating a file and locking it is covered
# by the layout's lock, which both `Incoming()` and `clear_abandoned()` ask their caller to hold.


class Incoming:
    """A new temporary file in `folder`; the caller holds the layout's lock while it is made.

    A context manager: what was not published by the end of the block is removed.
    """

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._path = folder / secrets.token_hex(16)
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    @property
    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def write(self, content: bytes) -> None:
        """Appends `content`; the system may take it in several parts."""
        self._hash.update(content)
        self.size += len(content)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    def sync(self) -> None:
        """Returns when all that was written is on the disk."""
        os.fsync(self._handle)

    def publish(self, target: Path) -> None:
        """Makes the synced file visible as `target` at once, in place of what was there."""
        self._path.replace(target)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # it was published, or removing it would hide the error that matters
            self._path.unlink()
        os.close(self._handle)


def clear_abandoned(folder: Path) -> None:
    """Removes the temporary files of writers that died; the caller holds the layout's lock."""
    for path in folder.iterdir():
        with suppress(OSError):  # still locked by a writer, or another user's: not in the way of a pack
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)

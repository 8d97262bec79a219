"""A model's files as one tar layer, the same bytes wherever and by whomever it is made.

Rules of image-spec 1.1, layer.md; the order, owner, modes and times are fixed here because the
specification leaves them open.
"""

import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import PackFailed
from tasks.oci.fault import readable, reported

ROOT = "models"

_CHUNK = 1 << 20  # bytes read at a time
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}
_READABLE = "Make the model's files readable for this user, and pack again."
_FINISHED = "Pack when nothing writes to the model's files any more."


@dataclass(frozen=True)
class Entry:
    """A file or folder of the model: `path` below the model's folder, `size` in bytes, None for a folder."""

    path: bytes
    size: int | None


def scan(directory: Path) -> list[Entry]:
    """The files and folders below `directory`, sorted by the bytes of their paths, folders before content.

    Raises:
        PackFailed: there is no file, or something that a model image cannot or must not carry.
    """
    # Paths are bytes throughout: text would depend on the locale's encoding.
    top = os.fsencode(directory)
    with reported(PackFailed, "The model's folder cannot be read.", top, _READABLE):
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise NotADirectoryError(None, "it is not a folder")
        entries = sorted(_walk(top), key=lambda entry: entry.path)
    if all(entry.size is None for entry in entries):
        raise PackFailed(
            "There is no model to pack.",
            readable(top),
            "the folder holds no file",
            "Save the model there in the notebook's last step.",
        )
    return entries


def _walk(top: bytes) -> Iterator[Entry]:
    folders = [b""]  # not recursive: a path may hold more folders than Python's recursion limit
    while folders:
        folder = folders.pop()
        with os.scandir(top + b"/" + folder) as found:
            for item in found:
                path = folder + item.name
                status = item.stat(follow_symlinks=False)
                _check(item.path, item.name, status.st_mode)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path + b"/")
                    yield Entry(path, None)
                else:
                    yield Entry(path, status.st_size)


def _check(path: bytes, name: bytes, mode: int) -> None:
    """Raises PackFailed for what no layer can carry as it is."""
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise _refused(path, f"it is {kind}", "Put a copy of the file itself there, or leave it out.")
    if name.startswith(b".wh."):  # layer.md, "Whiteouts": such a name deletes instead of adding
        raise _refused(path, "in an image layer, a name that begins with .wh. deletes", "Rename the file.")
    try:
        name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(path, "its name is not valid UTF-8", "Rename the file.") from error


def _refused(path: bytes, why: str, next_step: str) -> PackFailed:
    return PackFailed("The model holds something that an image cannot carry.", readable(path), why, next_step)


def stream(directory: Path, entries: list[Entry]) -> Generator[bytes, None, None]:
    """The tar of `entries` under `models/`, in pieces of at most one mebibyte; each file is read once.

    Raises:
        PackFailed: a file cannot be read, or is not what `scan` found any more.
    """
    top = os.fsencode(directory)
    yield _header(ROOT, None)
    for entry in entries:
        yield _header(f"{ROOT}/{entry.path.decode()}", entry.size)
        if entry.size is not None:
            yield from _content(top + b"/" + entry.path, entry.size)
            yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)  # the end of the archive


def _header(name: str, size: int | None) -> bytes:
    """One tar header; owner 0:0, no owner names and time 0 are what `TarInfo` starts with."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = (tarfile.DIRTYPE, 0o755) if size is None else (tarfile.REGTYPE, 0o644)
    info.size = size or 0
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _content(path: bytes, size: int) -> Iterator[bytes]:
    with reported(PackFailed, "A file of the model cannot be read.", path, _READABLE):
        # What was a regular file when it was scanned may be a link or a pipe by now.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb", buffering=0) as file:
            before = os.fstat(handle)
            left = size
            # The header already promised `size` bytes, so one byte more or less would shift all that follows.
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
            after = os.fstat(handle)
    if left or after.st_size != size or after.st_mtime_ns != before.st_mtime_ns:
        raise PackFailed(
            "A file of the model changed while it was read.",
            readable(path),
            f"it had {size} bytes when packing began and has {after.st_size} now"
            if after.st_size != size
            else "it was written to",
            _FINISHED,
        )

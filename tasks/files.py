"""Files that are either whole or not there, and files that others may have put there."""

import errno
import os
import stat
import uuid
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, so that a reader or a crash never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_writable(folder: Path) -> None:
    """Raises OSError unless `folder` can be written to, or be made; changes nothing."""
    found = next(path for path in (folder, *folder.parents) if path.exists())
    if not found.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(found))
    if not os.access(found, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(found))


def read_inside(directory: Path, name: str, limit: int) -> bytes:
    """The content of the regular file `name` below `directory`, at most `limit` bytes.

    Whoever filled the folder may have put a link to somewhere else, a fifo or a device there; a link that
    stays below `directory` is followed.

    Raises:
        OSError: `strerror` says why: there is none (FileNotFoundError), it is no regular file, a link leads
            out of `directory`, or it is larger than `limit` (EFBIG).
    """
    path = Path(os.path.realpath(directory / name, strict=True))
    if not path.is_relative_to(directory.resolve()):
        raise PermissionError(errno.EACCES, "It is a link that leads out of the folder")
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "It is no regular file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"It is larger than {limit / 1024**2:g} MiB")
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a fifo, and no link that came meanwhile."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)

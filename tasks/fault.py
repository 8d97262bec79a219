"""Operating-system errors, told as errors of Modelflight."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import ModelflightError

_SPACE = "Free some space, or name a place on another file system, and run this again."
_PERMISSION = "Name a folder that this user may write to, and run this again."
_FOLDER = "Name a path that is a folder and has only folders above it."
_NEXT_STEPS = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "Raise the limit on file sizes (ulimit -f), or name a place on another file system.",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
    errno.ENOTDIR: _FOLDER,
    errno.EEXIST: _FOLDER,
}


def readable(path: str | bytes | os.PathLike[str]) -> str:
    """`path` as text that every terminal takes; bytes that are not UTF-8 are shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def reported(
    error: type[ModelflightError], what: str, where: str | bytes | os.PathLike[str], next_step: str = ""
) -> Iterator[None]:
    """Raises every `OSError` of the block as `error`; an empty `next_step` is chosen by the error number."""
    try:
        yield
    except OSError as found:
        why = found.strerror or str(found)
        if isinstance(found.filename, str | bytes):
            why += f" ({readable(found.filename)})"
        fallback = _NEXT_STEPS.get(found.errno or 0, "Check the file system, and run this again.")
        raise error(what, readable(where), why, next_step or fallback) from found

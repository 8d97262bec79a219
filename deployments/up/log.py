"""The log of a part: what it writes, in a file that does not grow beyond a limit."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO

_LIMIT = 10 * 1024 * 1024  # bytes; one older file of this size is kept
_LONGEST_LINE = 64 * 1024  # bytes
TAIL_LINES = 20  # shown when a part fails


class Log:
    """A file, and beside it the one before as `NAME.log.1`."""

    def __init__(self, path: Path, limit: int = _LIMIT) -> None:
        self.path = path
        self._limit = limit

    def follow(self, pipe: IO[bytes]) -> None:
        """Writes what comes out of the pipe, in a thread of its own, until it is closed."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        threading.Thread(target=self._copy, args=(pipe,), daemon=True).start()

    def _copy(self, pipe: IO[bytes]) -> None:
        with pipe:
            self.write(iter(lambda: pipe.readline(_LONGEST_LINE), b""))

    def write(self, lines: Iterable[bytes]) -> None:
        """Appends the lines as they come."""
        file = self.path.open("ab")
        try:
            for line in lines:
                if file.tell() + len(line) > self._limit:
                    file.close()
                    self.path.replace(self.path.with_suffix(".log.1"))
                    file = self.path.open("ab")
                file.write(line)
                file.flush()
        finally:
            file.close()

    def tail(self) -> str:
        """The last lines."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _LONGEST_LINE))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join([line for line in lines if line.strip()][-TAIL_LINES:])

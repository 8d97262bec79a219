"""Values that are read again when they are some seconds old."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """What `read` returned, at most `seconds` ago; those who ask at the same time wait for one reading."""

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._kept: tuple[float, T] | None = None
        self._reading = asyncio.Lock()

    async def get(self) -> T:
        """The value; whatever `read` raises."""
        async with self._reading:
            if self._kept is None or time.monotonic() - self._kept[0] > self._seconds:
                self._kept = (time.monotonic(), await self._read())
            return self._kept[1]

    async def get_even_old(self) -> T:
        """The value, or the last one where it cannot be read again."""
        try:
            return await self.get()
        except Exception:
            if self._kept is None:
                raise
            return self._kept[1]

    def forget(self) -> None:
        """Lets the next one who asks read again."""
        self._kept = None

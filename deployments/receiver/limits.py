"""What keeps one sender from taking the receiver's time and memory from the others."""

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from deployments.receiver.problem import Refusal

MOST_BODY = 5 * 1024 * 1024  # bytes of one delivery; GitHub's largest pushes have about three million
_MOST_BODIES = 32 * 1024 * 1024  # bytes of those that are held, what is small of each not counted
_SMALL = 64 * 1024  # bytes; most deliveries are, and find room whatever others send
_BODY_WITHIN = 10.0  # seconds
_PER_SECOND = 100.0  # deliveries of one source; a forge's is often the only one
_BURST = 300.0
_MOST_SOURCES = 10_000

V = TypeVar("V")


class Rates:
    """A bucket of tokens for each source of requests: one address, or one network of IPv6."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, request: Request) -> None:
        """Takes a token of the request's source.

        Raises:
            Refusal: it has none left.
        """
        if self._left(request, 0) < 1:
            raise Refusal(
                429,
                "Too many requests come from this address.",
                "Send the delivery again later.",
                retry_after=5,
                close=True,
            )
        self._left(request, 1)

    def charge(self, request: Request, tokens: int) -> None:
        """Takes more of them, also some that it does not have yet."""
        self._left(request, tokens)

    def _left(self, request: Request, taken: int) -> float:
        source = _source(request.client.host if request.client else "")
        now = time.monotonic()
        left, at = self._buckets.pop(source, (_BURST, now))
        left = max(min(_BURST, left + (now - at) * _PER_SECOND) - taken, -_BURST)
        self._buckets[source] = (left, now)
        if len(self._buckets) > _MOST_SOURCES:
            self._buckets.popitem(last=False)
        return left


def _source(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket's path, or what a proxy says
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:  # what listens to both says so
        address = address.ipv4_mapped
    # Whoever has one address of IPv6 has 2**64 of them.
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


class Bodies:
    """Reads bodies, of bounded size, time, and memory for all of them together."""

    def __init__(self) -> None:
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The request's body, which counts as held until the context ends.

        Raises:
            Refusal: it is too large, comes too slowly, breaks off, or too many come at once.
        """
        announced = request.headers.get("content-length", "0")
        if len(announced) > 10 or int(announced) > MOST_BODY:  # the parser took it for a number
            raise _too_large()
        body = await self._read(request)
        try:
            yield body
        finally:
            self._held -= _counted(body)

    async def _read(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_WITHIN):
                async for chunk in request.stream():
                    self._held -= _counted(body)
                    body += chunk
                    self._held += _counted(body)
                    if len(body) > MOST_BODY:
                        raise _too_large()
                    if self._held > _MOST_BODIES and _counted(body):
                        raise _too_many()
            return bytes(body)
        except BaseException as error:
            self._held -= _counted(body)
            if isinstance(error, TimeoutError):
                raise _too_slow() from None
            if isinstance(error, ClientDisconnect):
                raise Refusal(400, "The body broke off.", "Send the delivery again.", close=True) from None
            raise


def _counted(body: bytes | bytearray) -> int:
    return max(0, len(body) - _SMALL)


def _too_many() -> Refusal:
    return Refusal(
        503,
        "Too many deliveries arrive at once.",
        "Send the delivery again later.",
        retry_after=5,
        close=True,
    )


def _too_slow() -> Refusal:
    return Refusal(
        408,
        f"The body did not arrive within {_BODY_WITHIN:.0f} seconds.",
        "Check the network between the forge and the receiver.",
        close=True,
    )


def _too_large() -> Refusal:
    return Refusal(
        413,
        f"The body is larger than {MOST_BODY // 1024 // 1024} MB.",
        "Push fewer commits at once; sync-models finds these at its next run.",
        close=True,
    )


class Recent(Generic[V]):
    """The values of the last keys, for some time."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._values: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def get(self, key: bytes) -> V | None:
        """The value, where it is still remembered."""
        at, value = self._values.get(key, (0.0, None))
        return value if time.monotonic() - at < self._seconds else None

    def put(self, key: bytes, value: V) -> None:
        """Remembers a value."""
        self._values[key] = (time.monotonic(), value)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

"""Connections whose other side sends or reads too slowly, or not at all."""

import asyncio
from collections import OrderedDict

import h11
from h11._events import Event
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_WITHIN = 12.0  # seconds from the connection, or the last answer, to a request's end; bodies have ten
MOST_CONNECTIONS = 256
_MOST_HEADERS = 8192  # bytes
_PIECE = 4096  # bytes read at once; h11 takes headers of any length that come at once
_MOST_CHUNKS = 100  # of one body, and one more for each `_CHUNK` bytes of it
_CHUNK = 256
_TWO_LENGTHS = frozenset((b"content-length", b"transfer-encoding"))


def impatient(within: float = REQUEST_WITHIN, most: int = MOST_CONNECTIONS) -> type[H11Protocol]:
    """HTTP by uvicorn, where a connection without a whole request is ended after `within` seconds.

    When there are `most` connections, the one that has waited longest for its request gives way to the next:
    honest clients send theirs at once. uvicorn alone waits forever.
    """
    waiting: OrderedDict[H11Protocol, asyncio.TimerHandle] = OrderedDict()

    class Impatient(H11Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)  # noqa: S101
            super().connection_made(transport)
            self.conn = _Connection(h11.SERVER, _MOST_HEADERS)
            self._wait()
            if len(self.connections) > most:
                slowest, timer = waiting.popitem(last=False)
                timer.cancel()
                slowest.transport.abort()

        def data_received(self, data: bytes) -> None:
            for at in range(0, len(data), _PIECE):
                if not self.transport.is_closing():
                    super().data_received(data[at : at + _PIECE])

        def handle_events(self) -> None:
            try:
                super().handle_events()
            except h11.LocalProtocolError:  # malformed after its answer, so that there can be no other
                self.transport.abort()
            if self.cycle is None or self.cycle.response_complete:
                return
            if not self.cycle.more_body:
                self._stop_waiting()
            if self._is_odd():
                self.cycle.keep_alive = False

        def on_response_complete(self) -> None:
            self._wait()  # also for the other side to take the answer
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_waiting()

        def _is_odd(self) -> bool:
            """Whether the request says two lengths, or others follow before its answer.

            A proxy may have gone by the other length, and who does not wait for answers may not read them.
            https://www.rfc-editor.org/rfc/rfc9112#section-6.1
            """
            follows = self.conn.their_state is h11.DONE and bool(self.conn.trailing_data[0])
            return follows or _TWO_LENGTHS.issubset(name for name, _ in self.headers)

        def _wait(self) -> None:
            self._stop_waiting()
            waiting[self] = self.loop.call_later(within, self.transport.abort)

        def _stop_waiting(self) -> None:
            if timer := waiting.pop(self, None):
                timer.cancel()

    return Impatient


class _Connection(h11.Connection):
    """Reads as h11 does, but no body in tiny chunks: each takes as much time as a large one."""

    _chunks = 0.0

    def next_event(self) -> Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What h11 reads next; raises its RemoteProtocolError for too many chunks."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_end - len(event.data) / _CHUNK
            if self._chunks > _MOST_CHUNKS:
                raise h11.RemoteProtocolError("too many small chunks")
        return event

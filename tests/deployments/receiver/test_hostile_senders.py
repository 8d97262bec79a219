"""Senders that want to take the receiver's time and memory."""

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from deployments.receiver import limits
from deployments.receiver.problem import Refusal
from tests.deployments.receiver.conftest import Stage
from tests.deployments.receiver.payloads import Pushed
from tests.deployments.receiver.running import Receiver, receiving

MOST_MEGABYTES = 150
MOST_CONNECTIONS = 256
HEAD = b"POST /webhooks/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LOOK = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def stalled(log: Path) -> Iterator[Receiver]:
    """A receiver whose Prefect takes connections and never answers."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=300) as silent,
        receiving(f"http://127.0.0.1:{silent.getsockname()[1]}/api", log) as receiver,
    ):
        yield receiver


def connected(receiver: Receiver, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", receiver.port), timeout=60, source_address=(source, 0))


def was_ended(connection: socket.socket, data: bytes) -> bool:
    """Sends a byte each half second; whether the receiver ended the connection before the last of them."""
    try:
        for byte in data:
            connection.sendall(bytes([byte]))
            connection.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                if not connection.recv(65536):
                    return True
    except OSError:
        return True
    return False


def received(connection: socket.socket) -> bytes:
    """What is answered before the receiver ends the connection."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def status(connection: socket.socket) -> bytes:
    """The status line of it."""
    return received(connection).split(b"\r\n")[0]


def test_headers_that_come_byte_by_byte_are_not_waited_for(lonely: Receiver):
    with connected(lonely) as connection:
        assert was_ended(connection, HEAD + b"X: " + b"y" * 200)
    assert httpx.get(f"{lonely.address}/health").status_code == 200


def test_headers_of_a_second_request_are_not_waited_for_either(lonely: Receiver):
    with connected(lonely) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in connection.recv(65536)
        assert was_ended(connection, b"GET /health HTTP/1.1\r\nX: " + b"y" * 200)


def test_a_body_that_comes_byte_by_byte_is_not_waited_for(lonely: Receiver):
    with connected(lonely) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        time.sleep(0.1)
        stop = threading.Event()

        def send() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.5):
                    connection.sendall(b" ")

        sender = threading.Thread(target=send)
        sender.start()
        try:
            assert b"408" in status(connection)
        finally:
            stop.set()
            sender.join()


def test_many_slow_connections_leave_room_for_an_honest_one(lonely: Receiver):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(lonely)) for _ in range(400)]
        for connection in connections[:300]:
            with contextlib.suppress(OSError):
                connection.sendall(HEAD)
        assert httpx.get(f"{lonely.address}/health", timeout=60).status_code == 200
        # Those that came first had to go.
        with contextlib.suppress(ConnectionError):
            assert connections[0].recv(1) == b""
        assert lonely.most_megabytes < MOST_MEGABYTES


def test_as_many_slow_bodies_as_connections_leave_room_for_an_honest_one(lonely: Receiver):
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            connection = stack.enter_context(connected(lonely))
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        assert httpx.get(f"{lonely.address}/health", timeout=60).status_code == 200


def test_as_many_that_read_no_answer_as_connections_leave_room_for_an_honest_one(lonely: Receiver):
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.connect(("127.0.0.1", lonely.port))
            connection.settimeout(0.2)
            with contextlib.suppress(OSError):
                connection.sendall(LOOK * 2000)
        assert httpx.get(f"{lonely.address}/health", timeout=60).status_code == 200
        assert lonely.most_megabytes < MOST_MEGABYTES


def test_a_request_after_one_that_was_not_answered_yet_is_not_taken(lonely: Receiver):
    with connected(lonely) as connection:
        connection.sendall(LOOK * 2)
        assert received(connection).count(b"HTTP/1.1 200") == 1


def test_a_request_with_two_lengths_is_the_last_of_its_connection(lonely: Receiver):
    lengths = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(lonely) as connection:
        connection.sendall(HEAD + lengths + b"2\r\n{}\r\n0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 503")  # of the chunk: there is no Prefect here
        with contextlib.suppress(ConnectionError):
            connection.sendall(LOOK)
        assert b"200" not in status(connection)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_hundred_megabytes_are_refused_and_not_kept(lonely: Receiver, framing: str):
    piece = b" " * 65536

    def body() -> Iterator[bytes]:
        for _ in range(1600):
            yield piece

    headers = {"Content-Type": "application/json"}
    if framing == "length":
        headers["Content-Length"] = str(1600 * len(piece))
    # The connection is ended in the middle of the body; the answer may get lost with it.
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.post(f"{lonely.address}/webhooks/x", content=body(), headers=headers, timeout=60)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    assert lonely.most_megabytes < MOST_MEGABYTES
    assert '"status": 413' in lonely.log.read_text()


def test_more_than_the_announced_length_is_not_read(lonely: Receiver):
    with connected(lonely) as connection:
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}" + b"x" * 100_000)
        assert b"503" in status(connection)  # of the two bytes: there is no Prefect here


def test_an_announced_length_that_is_no_number_is_refused(lonely: Receiver):
    for length in (b"-1", b"1e3", b"9" * 30, b"\xb2"):
        with connected(lonely) as connection:
            connection.sendall(HEAD + b"Content-Length: " + length + b"\r\n\r\n{}")
            assert status(connection).split()[1] in (b"400", b"413")


def test_a_body_in_tiny_chunks_is_not_read_to_its_end(lonely: Receiver):
    with connected(lonely) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 5000 + b"0\r\n\r\n")
        assert b"400" in status(connection)


@pytest.mark.parametrize(("size", "number"), [(1, 50), (300, 10_000)])
def test_a_body_in_chunks_as_they_are_sent_is_read(lonely: Receiver, size: int, number: int):
    chunk = b"%x\r\n%s\r\n" % (size, b" " * size)
    with connected(lonely) as connection:
        connection.sendall(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * number)
        connection.sendall(b"0\r\n\r\n")
        assert b"503" in status(connection)  # there is no Prefect here


def test_headers_are_not_longer_when_they_come_at_once(lonely: Receiver):
    with connected(lonely) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 5000 + b"\r\n")
        assert b"400" in status(connection)


def test_what_is_malformed_after_its_answer_ends_the_connection_without_a_traceback(lonely: Receiver):
    with connected(lonely) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b"200" in connection.recv(65536)
        connection.sendall(b"zz\r\n")
        received(connection)
    assert "Traceback" not in lonely.log.read_text()


def sent(body: bytes, *, whole: bool) -> Request:
    """A request of which the body has come so far."""
    messages = iter([{"type": "http.request", "body": body, "more_body": not whole}])

    async def receive() -> MutableMapping[str, Any]:
        for message in messages:
            return message
        await asyncio.sleep(3600)
        raise AssertionError

    return Request({"type": "http", "headers": []}, receive)


def test_small_deliveries_find_room_while_large_ones_take_it_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "_MOST_BODIES", 1_000_000)

    async def read(bodies: limits.Bodies, request: Request) -> int:
        async with bodies.read(request) as body:
            return len(body)

    async def send() -> None:
        bodies = limits.Bodies()
        slow = asyncio.create_task(read(bodies, sent(b" " * 1_000_000, whole=False)))
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="Too many deliveries"):
            await read(bodies, sent(b" " * 200_000, whole=True))
        assert await read(bodies, sent(b" " * 60_000, whole=True)) == 60_000
        slow.cancel()
        await asyncio.wait([slow])
        assert await read(bodies, sent(b" " * 1_060_000, whole=True)) == 1_060_000

    asyncio.run(send())


def test_many_bodies_at_once_do_not_fill_the_memory(lonely: Receiver):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(lonely)) for _ in range(60)]
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(HEAD + b"Content-Length: 4000000\r\n\r\n")
                connection.settimeout(2)
                connection.sendall(b" " * 3_900_000)
        assert lonely.most_megabytes < MOST_MEGABYTES
    assert httpx.get(f"{lonely.address}/health", timeout=60).status_code == 200


def test_bodies_do_not_pile_up_while_prefect_does_not_answer(stalled: Receiver):
    body = b" " * 5_000_000

    def send(number: int) -> None:
        with contextlib.suppress(OSError), connected(stalled, f"127.0.1.{number}") as connection:
            connection.sendall(HEAD + b"Content-Length: 5000000\r\n\r\n" + body)
            connection.recv(1)

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(send, range(1, 101)))
    assert stalled.most_megabytes < MOST_MEGABYTES


def guess(receiver: Receiver, source: str) -> Counter[int]:
    """The statuses of a hundred deliveries with a wrong signature, each said to be forwarded for another."""
    headers, body = Pushed().by("github", "guessed")
    counted: Counter[int] = Counter()
    with httpx.Client(timeout=60, transport=httpx.HTTPTransport(local_address=source)) as client:
        for number in range(100):
            said = {"X-Forwarded-For": f"192.0.2.{number}"}
            answer = client.post(
                f"{receiver.address}/webhooks/notebooks", content=body, headers=headers | said
            )
            counted[answer.status_code] += 1
    return counted


def test_who_guesses_secrets_is_told_to_wait_whomever_it_claims_to_be(stage: Stage):
    before = throttled(stage)
    statuses = guess(stage.receiver, "127.0.5.1")
    assert statuses.keys() == {403, 429}
    # They are counted; the log would fill the disk.
    assert throttled(stage) == before + statuses[429]
    assert '"status": 429' not in stage.receiver.log.read_text()


def test_malformed_requests_do_not_fill_the_log(lonely: Receiver):
    before = lonely.log.stat().st_size
    for request in (
        b"\0\r\n\r\n",
        LOOK.replace(b"Host: x", b"Host: x\r\nConnection: upgrade\r\nUpgrade: websocket"),
    ):
        with connected(lonely) as connection:
            connection.sendall(request)
            assert connection.recv(65536)
    assert lonely.log.stat().st_size == before


def test_what_a_proxy_on_this_machine_says_of_the_source_counts(stage: Stage):
    assert guess(stage.receiver, "127.0.0.1") == {403: 100}


def throttled(stage: Stage) -> float:
    text = httpx.get(f"{stage.receiver.address}/metrics").text
    found = re.search(r'outcome="429"\} (\d+)', text)
    return float(found[1]) if found else 0


def test_forms_are_refused_with_what_to_change(lonely: Receiver):
    headers, body = Pushed().by("github")
    answer = lonely.deliver("x", (headers | {"Content-Type": "application/x-www-form-urlencoded"}, body))
    assert answer.status_code == 415
    assert "application/json" in answer.json()["next_step"]


def test_an_address_that_is_not_quite_right_leads_nowhere_else(lonely: Receiver):
    headers, body = Pushed().by("gitlab")
    answer = lonely.deliver("x/", (headers, body), Host="evil.example.com")
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert "/webhooks/NAME" in answer.json()["next_step"]

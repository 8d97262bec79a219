"""Prefect's client and an API that is busy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.busy_api import HTTPX_SETTINGS


class Busy(HTTPServer):
    """Answers 503 `times`, and then that the API is well."""

    def __init__(self, times: int, wait: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.times, self.wait = times, wait


class _Handler(BaseHTTPRequestHandler):
    server: Busy

    def do_GET(self) -> None:
        busy = self.server.times > 0
        self.server.times -= busy
        self.send_response(503 if busy else 200)
        if busy and self.server.wait:
            self.send_header("Retry-After", self.server.wait)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        pass


@contextmanager
def asking(times: int, wait: str | None = None) -> Iterator[tuple[SyncPrefectClient, list[str | None]]]:
    """A client of the busy API, and the waits that its answers asked for."""
    waits: list[str | None] = []
    hooks = [*HTTPX_SETTINGS["event_hooks"]["response"], lambda answer: waits.append(_wait(answer))]
    with Busy(times, wait) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            with SyncPrefectClient(address, httpx_settings={"event_hooks": {"response": hooks}}) as client:
                yield client, waits
        finally:
            server.shutdown()
            thread.join()


def _wait(answer: httpx.Response) -> str | None:
    return answer.headers.get("Retry-After")


def test_a_busy_api_is_asked_again_soon():
    with asking(times=3) as (client, waits):
        assert client.request("GET", "/health").status_code == 200
    *soon, last = waits
    assert len(soon) == 3
    assert max(float(wait or 60) for wait in soon) < 1
    assert last is None


def test_a_wait_that_the_api_asks_for_is_kept():
    with asking(times=1, wait="0.01") as (client, waits):
        assert client.request("GET", "/health").status_code == 200
    assert waits == ["0.01", None]


def test_an_api_that_stays_busy_is_given_up_as_before():
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 2}),
        asking(times=9) as (client, waits),
        pytest.raises(PrefectHTTPStatusError),
    ):
        client.request("GET", "/health")
    assert len(waits) == 3

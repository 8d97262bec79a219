"""What starting a release does when the Prefect API, or what stands before it, misbehaves."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deployments.start import api
from deployments.start.api import PrefectApi
from tasks.errors import InvalidInput, ModelflightError, PrefectUnreachable


class Door:
    """Answers as it is told: `answers` in order, the last one for good; a status, a content type, a body."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, str]] = [(200, "application/json", "{}")]
        self.requests: list[tuple[str, str | None]] = []
        self.address = ""


@pytest.fixture
def door() -> Iterator[Door]:
    said = Door()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.requests.append((self.path, self.headers["Authorization"]))
            status, kind, body = said.answers.pop(0) if len(said.answers) > 1 else said.answers[0]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        said.address = f"http://127.0.0.1:{server.server_port}/api"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield said
        server.shutdown()
        thread.join()


def test_a_busy_api_is_asked_again(door: Door) -> None:
    run = (200, "application/json", json.dumps({"id": "1"}))
    door.answers = [(503, "text/plain", "busy"), (429, "text/plain", "slowly"), run]
    with PrefectApi(door.address, {}) as client:
        assert client.run("1") == {"id": "1"}
    assert len(door.requests) == 3


def test_an_api_that_stays_away_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_FIRST_PATIENCE", 1.0)
    door.answers = [(502, "text/html", "<html>")]
    with PrefectApi(door.address, {}) as client, pytest.raises(PrefectUnreachable) as refused:
        client.deployment("notebooks.wine")
    assert refused.value.why == "It answers 502 Bad Gateway."


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/api", "http://:80:80/api"])
def test_an_address_that_nobody_answers_at_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_FIRST_PATIENCE", 0.0)
    with PrefectApi(address, {}) as client, pytest.raises(PrefectUnreachable) as refused:
        client.deployment("notebooks.wine")
    assert refused.value.where == address


def test_a_refused_credential_is_not_tried_again(door: Door) -> None:
    door.answers = [(401, "application/json", '{"exception_message": "Unauthorized"}')]
    with PrefectApi(door.address, {}) as client, pytest.raises(PrefectUnreachable) as refused:
        client.deployment("notebooks.wine")
    assert "credential" in refused.value.what
    assert len(door.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", "<html>Prefect's pages, or a login</html>"),
        (302, "text/html", "<html>Moved</html>"),
        (422, "application/json", '{"detail": "no such parameter"}'),
    ],
)
def test_what_is_no_answer_of_the_api_is_quoted(door: Door, answer: tuple[int, str, str]) -> None:
    door.answers = [answer]
    with PrefectApi(door.address, {}) as client, pytest.raises(ModelflightError) as refused:
        client.run("1")
    assert answer[2] in refused.value.why
    assert refused.value.where == f"GET {door.address}/flow_runs/1"


@pytest.mark.parametrize(
    ("variables", "sent"),
    [
        ({}, None),
        ({"PREFECT_API_KEY": "pnu_1"}, "Bearer pnu_1"),
        ({"PREFECT_API_KEY": "pnu_1\n"}, "Bearer pnu_1"),
        (
            {"PREFECT_API_AUTH_STRING": "admin:päss"},
            f"Basic {base64.b64encode('admin:päss'.encode()).decode()}",
        ),
    ],
)
def test_the_credential_comes_from_prefects_variables(
    door: Door, variables: dict[str, str], sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"PREFECT_API_URL": door.address + "/", **variables}.items():
        monkeypatch.setenv(name, value)
    with PrefectApi.from_environment() as client:
        client.run("1")
    assert door.requests == [("/api/flow_runs/1", sent)]


def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_1\nX: y")
    monkeypatch.setattr(api, "_FIRST_PATIENCE", 0.0)
    with pytest.raises(ModelflightError) as refused, PrefectApi.from_environment() as client:
        client.deployment("notebooks.wine")
    assert refused.value.where == "PREFECT_API_KEY"
    assert "pnu_1" not in str(refused.value)


@pytest.mark.parametrize("address", [None, "", "prefect.example.com/api", "https//prefect"])
def test_an_address_is_needed(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    if address is not None:
        monkeypatch.setenv("PREFECT_API_URL", address)
    with pytest.raises(InvalidInput, match="PREFECT_API_URL"):
        PrefectApi.from_environment()


def test_the_page_is_beside_the_api_unless_prefect_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    with PrefectApi("https://example.com/prefect/api/", {}) as client:
        assert client.page("1") == "https://example.com/prefect/v2/runs/flow-run/1"
        monkeypatch.setenv("PREFECT_UI_URL", "https://pages.example.com/")
        assert client.page("1") == "https://pages.example.com/runs/flow-run/1"

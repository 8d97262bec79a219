"""Prefect's API goes away, hangs, and comes back."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from tests.deployments.receiver.conftest import Stage
from tests.deployments.receiver.payloads import Pushed
from tests.deployments.receiver.relay import Relay, relaying
from tests.deployments.receiver.running import Receiver, receiving


@pytest.fixture
def relay(stage: Stage) -> Iterator[Relay]:
    with relaying(stage.prefect.address) as relay:
        yield relay


@pytest.fixture
def receiver(relay: Relay, log: Path) -> Iterator[Receiver]:
    with receiving(relay.address, log) as receiver:
        yield receiver


def test_without_prefect_nothing_is_taken(lonely: Receiver):
    answer = lonely.deliver("notebooks", Pushed().by("github"))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "sent again" in answer.json()["title"]
    # Where Prefect is, strangers need not know.
    assert "http://" not in answer.text
    assert answer.json()["detail"] == "The connection failed: ConnectError."
    assert "All connection attempts failed" in lonely.log.read_text()
    assert '"where": "http://127.0.0.1:9/api"' in lonely.log.read_text()
    assert httpx.get(f"{lonely.address}/health").status_code == 200
    assert httpx.get(f"{lonely.address}/ready").status_code == 503


def test_a_delivery_that_found_prefect_gone_is_taken_when_it_is_back(
    stage: Stage, relay: Relay, receiver: Receiver
):
    assert receiver.deliver("notebooks", Pushed().by("github")).status_code == 202
    relay.break_()
    push = Pushed()
    refused = receiver.deliver("notebooks", push.by("github"))
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    # Who has no secret learns nothing of that.
    assert receiver.deliver("notebooks", Pushed().by("github", "else")).status_code == 403
    relay.mend()
    answer = _delivered_in_the_end(receiver, push)
    [run] = answer.json()["runs"]
    assert stage.prefect.ask("GET", f"/flow_runs/{run['flow_run_id']}")["parameters"]["commit"] == push.after


def test_while_prefect_hangs_deliveries_are_refused_and_do_not_pile_up(relay: Relay, receiver: Receiver):
    assert receiver.deliver("notebooks", Pushed().by("github")).status_code == 202
    relay.hold()
    answers = [receiver.deliver("notebooks", Pushed().by("github")).status_code for _ in range(4)]
    assert answers == [503] * 4
    assert httpx.get(f"{receiver.address}/health").status_code == 200
    relay.mend()
    _delivered_in_the_end(receiver, Pushed())


def test_a_run_that_was_created_while_the_answer_was_lost_is_not_created_again(
    stage: Stage, relay: Relay, receiver: Receiver
):
    assert receiver.deliver("notebooks", Pushed().by("github")).status_code == 202
    push = Pushed()
    relay.hold()
    assert receiver.deliver("notebooks", push.by("github")).status_code == 503
    relay.mend()  # what was held up arrives now, too
    _delivered_in_the_end(receiver, push)
    commits = [run["parameters"]["commit"] for run in stage.prefect.runs(stage.wine)]
    assert commits.count(push.after) == 1


class _Page(BaseHTTPRequestHandler):
    """What a proxy shows in the place of Prefect."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"<html>Back soon: inner.example.com</html>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        pass


@contextmanager
def behind(page: type[_Page], log: Path) -> Iterator[Receiver]:
    """A receiver that finds the page where it looks for Prefect."""
    with HTTPServer(("127.0.0.1", 0), page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with receiving(f"http://127.0.0.1:{server.server_port}/api", log) as receiver:
                yield receiver
        finally:
            server.shutdown()
            thread.join()


def test_a_page_in_the_place_of_prefect_is_no_prefect(log: Path):
    with behind(_Page, log) as receiver:
        answer = receiver.deliver("notebooks", Pushed().by("github"))
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "JSON" in answer.json()["detail"]


def test_what_is_answered_in_the_place_of_prefect_is_for_the_log_alone(log: Path):
    with behind(type("_Refusal", (_Page,), {"status": 400}), log) as receiver:
        answers = [
            receiver.deliver("notebooks", Pushed().by("github")),
            httpx.get(f"{receiver.address}/ready"),
        ]
    assert [answer.status_code for answer in answers] == [502, 502]
    assert [answer.json()["detail"] for answer in answers] == ["It answers 400 Bad Request."] * 2
    assert "inner.example.com" not in "".join(answer.text for answer in answers)
    assert "inner.example.com" in log.read_text()


def _delivered_in_the_end(receiver: Receiver, push: Pushed) -> httpx.Response:
    deadline = time.monotonic() + 60
    while (answer := receiver.deliver("notebooks", push.by("github"))).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert answer.status_code == 202
    return answer

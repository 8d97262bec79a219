"""What verbs ask a Prefect API before they begin, and what `modelflight up` asks it all the time."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from deployments.cli import main
from deployments.up import before_worker, deploying
from deployments.up.api import Api
from deployments.up.environment import receiver_environment, server_environment
from deployments.up.installation import Installation, Listener
from deployments.up.log import Log
from tests.repositories import TOP

READY = ("/api/ready", "/api/health")


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Prefect API with a login: whether it is ready it tells to anybody, and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in READY else 401)
            self.end_headers()
            self.wfile.write(b"true" if self.path in READY else b"{}")

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def test_an_api_that_does_not_accept_the_credential_is_told_before_anything_starts(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://{guarded}")
    monkeypatch.setenv("MODELFLIGHT_HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["up", "--receiver-port", "42801"])
    assert result.exit_code == 1
    assert "does not accept the credential" in result.stderr
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("verb", ["deploy", "doctor"])
def test_verbs_tell_of_a_credential_that_is_not_accepted(
    guarded: str, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://{guarded}")
    monkeypatch.setenv("MODELFLIGHT_HOME", str(tmp_path))
    command = [sys.executable, "-m", "deployments.cli", verb]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PREFECT_API_AUTH_STRING" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_in_the_apis_address_is_not_in_the_journal(
    guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://ada:pa55@{guarded}")
    monkeypatch.setattr("sys.argv", ["before_worker", "worker"])
    with pytest.raises(SystemExit, match="401") as told:
        before_worker.main()
    assert "pa55" not in str(told.value)


def test_links_of_the_server_and_of_the_receiver_lead_to_the_same_newer_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    server, receiver = Listener("127.0.0.1", 4200), Listener("127.0.0.1", 4280)
    installation = Installation(tmp_path, f"{server.url}/api", server, receiver, "pool")
    for environment in (server_environment(installation), receiver_environment(installation)):
        assert environment["PREFECT_UI_URL"] == "http://127.0.0.1:4200/v2"


def test_notification_blocks_that_are_told_of_releases_are_found(prefect_api: str) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    block = CustomWebhookNotificationBlock(name="chat", url="http://127.0.0.1:9/")
    block.save("somebody-elses", overwrite=True)
    with closing(Api(prefect_api, None)) as api:
        before = api.notified()
        made = str(block.save("modelflight-of-up"))
        try:
            assert api.notified() - before == {made}
        finally:
            CustomWebhookNotificationBlock.delete("modelflight-of-up")
            CustomWebhookNotificationBlock.delete("somebody-elses")


class Blocks:
    """What is registered, in place of an API."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.told: frozenset[str] = frozenset()

    def registrations(self) -> dict[str, str]:
        return dict(self.found)

    def notified(self) -> frozenset[str]:
        return self.told


@pytest.mark.parametrize(
    "change",
    [
        lambda blocks: blocks.found.update(notebooks="2026-01-01"),
        lambda blocks: setattr(blocks, "told", frozenset({"1"})),
    ],
    ids=["a repository", "a notification block"],
)
def test_what_is_registered_later_is_deployed(
    change: Callable[[Blocks], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def command(arguments: list[str]) -> list[str]:
        started.append(arguments)
        return ["true"]

    monkeypatch.setattr(deploying, "tied", command)
    monkeypatch.setattr(deploying, "_LOOK_EVERY", 0)
    blocks = Blocks()
    runs = deploying.Deploying(blocks, None, {"PATH": "/usr/bin:/bin"}, Log(tmp_path / "deploy.log"))

    def look(times: int) -> None:
        deadline = time.monotonic() + 30
        while len(started) < times and time.monotonic() < deadline:
            runs.tick(lambda _line: None)
        for _ in range(20):  # and no further one
            runs.tick(lambda _line: None)
            time.sleep(0.01)
        assert len(started) == times

    look(1)
    change(blocks)
    look(2)
    runs.kill()

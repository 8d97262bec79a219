"""What tests of all rooms share: Git repositories, a home of their own, one Prefect server."""

import fcntl
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.repositories import Repositories

settings.register_profile("without-deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("without-deadline")

# Read when Prefect is imported, which the first test that needs it does.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"


@pytest.fixture
def repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repositories:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return Repositories(tmp_path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MODELFLIGHT_HOME of this test."""
    path = tmp_path / "home"
    monkeypatch.setenv("MODELFLIGHT_HOME", str(path))
    return path


@pytest.fixture
def warm_home(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MODELFLIGHT_HOME of this test, with the pipelines that other tests compiled: Kale takes seconds."""
    pipelines = shared_folder(tmp_path_factory) / "pipelines"
    pipelines.mkdir(exist_ok=True)
    home.mkdir()
    (home / "pipelines").symlink_to(pipelines)
    return home


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prefect server with a fresh database, shared by all test processes of this run."""
    shared = shared_folder(tmp_path_factory)
    with (shared / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = shared / "prefect.state"
        if not state.exists():
            pid, address = start_prefect(shared / "prefect-home")
            state.write_text(f"{pid} {address} 0")
        pid, address, users = state.read_text().split()
        state.write_text(f"{pid} {address} {int(users) + 1}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", address)
        # Results of one run must not be found by the next.
        patch.setenv("PREFECT_HOME", str(shared / "prefect-home"))
        if "prefect" in sys.modules:
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()
        yield address
    _drain_prefect()
    with (shared / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pid, address, users = state.read_text().split()
        state.write_text(f"{pid} {address} {int(users) - 1}")
        if int(users) == 1:
            os.killpg(int(pid), signal.SIGTERM)
            state.unlink()


def _drain_prefect() -> None:
    """Sends what Prefect still has for its server, which it would else try at exit, when that is gone."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        EventsWorker.drain_all(timeout=10)
        APILogWorker.drain_all(timeout=10)


def start_prefect(prefect_home: Path) -> tuple[int, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    prefect_home.mkdir(exist_ok=True)  # of a server that another process of this run ended, as nobody used it
    environment = os.environ | {"PREFECT_HOME": str(prefect_home)}
    environment.pop("PREFECT_API_URL", None)
    log = prefect_home / "server.log"
    # A Popen object would warn when it is collected before its process ends, which others may still use.
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return pid, address
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"Prefect's server did not start:\n{log.read_text()[-4000:]}")

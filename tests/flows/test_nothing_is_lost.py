"""Webhooks are dropped, the receiver is killed, the Prefect API is down: each head is released once.

Everything is real and in processes of its own: server, worker, receiver, repositories. Only the flow that
releases is a stand-in that notes its commit, found by Python before the real one: a release takes a minute.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.receiver.payloads import Pushed
from tests.deployments.receiver.running import free_port
from tests.flows.test_sync_models import settings
from tests.prefect_api import ask
from tests.repositories import Repositories

pytestmark = pytest.mark.worker

PATIENCE = 240  # seconds; processes that import Prefect take ten on an idle machine
SECRET = "s3cr3t"

PACKAGE = "from pkgutil import extend_path\n\n__path__ = extend_path(__path__, __name__)\n"
STAND_IN = """
import os

from prefect import flow

from flows.at_rest import at_rest


@flow(name="release-model", on_completion=[at_rest], on_failure=[at_rest])
def release_model(
    repository: str,
    commit: str = "HEAD",
    model: str | None = None,
    attempt: int | None = None,
    branch: str | None = None,
    retrain: bool = False,
) -> None:
    with open(os.environ["RELEASED"], "a") as released:
        released.write(f"{model} {commit}\\n")
"""
SET_UP = """
import sys

from flows.blocks import NotebookRepository
from flows.deploy_models import deploy_models

for address in sys.argv[1:]:
    name = address.split("/")[-2]
    NotebookRepository(address=address, webhook_secret="s3cr3t").save(name)
assert not deploy_models().problems
"""


def wait_for(what: Callable[[], Any], why: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.3)
    raise AssertionError(f"waited in vain for {why}")


@dataclass
class Site:
    """Server, worker and receiver over one folder; each can be killed and started again."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {"server": free_port(), "receiver": free_port()})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports['server']}/api"

    @property
    def released(self) -> list[str]:
        file = self.folder / "released"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PREFECT_API_URL": self.api,
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
            "MODELFLIGHT_HOME": str(self.folder / "home"),
            "MODELFLIGHT_SYNC_INTERVAL": "86400",  # syncs are started here
            "MODELFLIGHT_RECEIVER_PORT": str(self.ports["receiver"]),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "RELEASED": str(self.folder / "released"),
            "PYTHONPATH": str(self.folder / "stand-in"),
            # The worker starts `python`.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,  # in the project's folder its own flows would go before the stand-in
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_server(self) -> None:
        port = str(self.ports["server"])
        self.start("server", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port)
        wait_for(lambda: self.answers(f"{self.api}/health"), "Prefect's server")

    def start_worker(self) -> None:
        pool = ("--pool", "modelflight", "--type", "process")
        self.start("worker", "-m", "prefect", "worker", "start", *pool)

    def start_receiver(self) -> None:
        self.start("receiver", "-m", "deployments.receiver")
        wait_for(lambda: self.answers(f"http://127.0.0.1:{self.ports['receiver']}/health"), "the receiver")

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def answers(self, address: str) -> bool:
        try:
            return httpx.get(address, timeout=5).is_success
        except httpx.TransportError:
            return False

    def ask(self, path: str, body: Any = None) -> Any:
        return ask("POST", f"{self.api}{path}", body or {})

    def start_sync(self) -> str:
        deployment = ask("GET", f"{self.api}/deployments/name/sync-models/sync-models")
        return str(self.ask(f"/deployments/{deployment['id']}/create_flow_run")["id"])

    def ended(self, run: str) -> dict[str, Any]:
        def state() -> Any:
            found = ask("GET", f"{self.api}/flow_runs/{run}")["state"]
            return found["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") and found

        found: dict[str, Any] = wait_for(state, "the end of a sync")
        return found

    def sync(self) -> dict[str, Any]:
        """The state in which a sync ends, that the worker runs."""
        return self.ended(self.start_sync())

    def commits(self, registration: str) -> list[str]:
        """The commits that releases of the registration were started for, oldest first."""
        wanted = {
            "deployments": {"name": {"any_": [f"{registration}.wine"]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return [run["parameters"]["commit"] for run in self.ask("/flow_runs/filter", wanted)]


class Pushing:
    """A registered repository; its webhooks arrive only where a test delivers them."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        folder = site.folder / name
        folder.mkdir()
        self.repositories = Repositories(folder)
        self.heads: list[str] = []
        self.push(**settings(wine=1))

    def push(self, **files: str) -> Pushed:
        """Pushes a new version of the model; returns its webhook's delivery."""
        content = {"wine.ipynb": str(len(self.heads)), **files}
        self.heads.append(self.repositories.push(content))
        before = self.heads[-2] if len(self.heads) > 1 else "0" * 40
        return Pushed(f"{self.name}/notebooks", before=before, after=self.heads[-1])

    def deliver(self, push: Pushed) -> httpx.Response:
        headers, body = push.by("github", SECRET)
        address = f"http://127.0.0.1:{self.site.ports['receiver']}/webhooks/{self.name}"
        return httpx.post(address, content=body, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    package = site.folder / "stand-in" / "flows"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PACKAGE)
    (package / "release_model.py").write_text(STAND_IN)
    try:
        site.start_server()
        yield site
    finally:
        for name in list(site.processes):
            site.kill(name)


def test_each_pushed_head_is_released_once_whatever_was_away(site: Site) -> None:
    one, other = Pushing(site, "one"), Pushing(site, "other")
    addresses = [str(each.repositories.notebooks) for each in (one, other)]
    subprocess.run(
        [sys.executable, "-c", SET_UP, *addresses], env=site.environment, cwd=site.folder, check=True
    )
    site.start_worker()
    site.start_receiver()

    assert site.sync()["name"] == "Completed"
    assert site.commits("one") == one.heads
    assert site.commits("other") == other.heads

    # The webhook arrives.
    assert one.deliver(one.push()).status_code == 202
    assert site.sync()["message"] == "Nothing was missing."

    # The webhook is dropped on its way.
    dropped = one.push()
    assert site.sync()["message"] == "Started: one.wine."
    assert one.deliver(dropped).status_code == 202  # by a person, who did not know

    # Nobody is there to take the webhook.
    site.kill("receiver")
    refused = one.push()
    with pytest.raises(httpx.TransportError):
        one.deliver(refused)
    assert site.sync()["message"] == "Started: one.wine."
    site.start_receiver()
    assert one.deliver(one.push()).status_code == 202

    # The API is away, and the forge does not try again..
    wait_for(lambda: len(site.released) >= len(one.heads) + len(other.heads), "the releases to run")
    site.kill("server")
    away = one.push()
    answer = one.deliver(away)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    site.start_server()
    assert site.sync()["name"] == "Completed"
    assert site.commits("one") == one.heads

    # Both at the same moment; and a repository that is gone keeps nobody else from being released.
    other.push()
    gone = other.repositories.notebooks.rename(site.folder / "gone.git")
    webhook = one.push()
    sync = site.start_sync()
    wait_for(lambda: one.deliver(webhook).status_code == 202, "the receiver to find the API again")
    state = site.ended(sync)
    assert state["name"] == "Failed"
    assert state["message"].startswith("other: ")
    gone.rename(other.repositories.notebooks)

    assert site.sync()["message"] == "Started: other.wine."
    assert site.sync()["message"] == "Nothing was missing."
    assert site.commits("one") == one.heads
    assert site.commits("other") == other.heads

    expected = sorted(f"wine {head}" for head in (*one.heads, *other.heads))
    wait_for(lambda: len(site.released) >= len(expected), "the releases to run")
    assert sorted(site.released) == expected

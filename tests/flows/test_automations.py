"""The automations do what they are for: a real server, a real worker, and flows that stand for releases."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.flows.own_prefect import OwnPrefect, own_prefect

RELEASE = """
import os, time
from pathlib import Path
from prefect import flow
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Completed
from flows.at_rest import at_rest

class Answer(RunInput):
    approve: bool = False

@flow(name="release-model", on_failure=[at_rest])
def release(model: str, does: str, repository: str = "r", commit: str = "c"):
    if does == "hang" and flow_run.run_count == 1:
        Path(os.environ["PIDS"]).write_text(str(os.getpid()))
        time.sleep(600)
    if does == "ask":
        answer = suspend_flow_run(wait_for_input=Answer, timeout=3600)
        return Completed(name="Approved" if answer.approve else "Refused", message="nobody agreed")
    if does == "fail":
        raise ValueError("the disk is full")
    return Completed(name=does, message="score 0.7 is worse")
"""
pytestmark = pytest.mark.worker

PATIENCE = 300
PAGES = "https://prefect.example.com/v2"


class Releases:
    """A deployment of a flow that stands for the release flow, and workers for it."""

    def __init__(self, server: OwnPrefect, folder: Path) -> None:
        self.server, self.folder = server, folder
        (folder / "stand_in.py").write_text(RELEASE)
        server.ask("work_pools/", {"name": "pool", "type": "process"})
        flow = server.ask("flows/", {"name": "release-model"})["id"]
        environment = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", "PIDS": str(folder / "pids")}
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
        self.deployment = server.ask(
            "deployments/",
            {
                "name": "notebooks.wine",
                "flow_id": flow,
                "entrypoint": "stand_in.release",
                "work_pool_name": "pool",
                "concurrency_limit": 1,
                "concurrency_options": {"collision_strategy": "ENQUEUE"},
                "job_variables": {"env": environment},
                "parameters": {"model": "wine"},
            },
        )["id"]
        self.worker = self.start_worker()

    def start_worker(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PREFECT_API_URL": self.server.api, "PREFECT_WORKER_QUERY_SECONDS": "2"}
        with (self.folder / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", "pool", "--type", "process"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill_worker(self) -> None:
        os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()

    def start(self, does: str) -> str:
        body = {"parameters": {"does": does}, "state": {"type": "SCHEDULED"}}
        return str(self.server.ask(f"deployments/{self.deployment}/create_flow_run", body)["id"])

    def wait(self, run: str, *names: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.server.ask(f"flow_runs/{run}", method="GET")
            if found["state"]["name"] in names:
                return found
            time.sleep(0.5)
        log = (self.folder / "worker.log").read_text()[-3000:]
        raise AssertionError(f"wanted {names}, found {found['state']}\n{log}")


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    folder = tmp_path_factory.mktemp("automations")
    with own_prefect(folder, PREFECT_UI_URL=PAGES) as server:
        started = Releases(server, folder)
        yield started
        started.kill_worker()


@pytest.fixture
def automate(releases: Releases) -> Iterator[Any]:
    """Makes automations, and deletes them in the end."""
    from prefect.client.orchestration import get_client

    from tasks.apply_deployments import apply_deployments
    from tasks.deployment.plan import plan_automations

    def make(*wanted: Any) -> None:
        with get_client(sync_client=True) as client:
            assert (
                apply_deployments(client, plan_automations(wanted, []), lambda name: pytest.fail(name)) == []
            )

    yield make
    for each in releases.server.automations().values():
        releases.server.ask(f"automations/{each['id']}", method="DELETE")


def test_a_release_that_dies_with_its_worker_goes_on_and_one_that_failed_at_once_does_not(
    releases: Releases, automate: Any
):
    from tasks.deployment.automations import resumed_zombies

    automate(resumed_zombies(silence=timedelta(seconds=45)))
    at_once = releases.start("fail")
    releases.wait(at_once, "Failed")
    pids = releases.folder / "pids"
    run = releases.start("hang")
    deadline = time.monotonic() + PATIENCE
    while not pids.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(5)  # for its first heartbeat to arrive
    releases.kill_worker()
    os.kill(int(pids.read_text()), signal.SIGKILL)
    died = time.monotonic()

    found = releases.wait(run, "AwaitingRetry")
    print(f"noticed after {time.monotonic() - died:.0f} s")
    assert "No heartbeat for 45 s" in found["state"]["message"]
    assert releases.wait(at_once, "Failed")["run_count"] == 1  # it was silent for longer
    releases.worker = releases.start_worker()
    assert releases.wait(run, "hang")["run_count"] == 2
    print(f"done after {time.monotonic() - died:.0f} s")


def test_a_release_that_nobody_approves_goes_on_with_no(releases: Releases, automate: Any):
    from tasks.deployment.automations import ended_approvals

    automate(ended_approvals(timedelta(seconds=10)))
    run = releases.start("ask")
    releases.wait(run, "Suspended")
    assert releases.wait(run, "Refused", "Approved")["state"]["name"] == "Refused"


@pytest.fixture
def told() -> Iterator[tuple[int, list[Any]]]:
    """Port of a web server, and the JSON that it was sent."""
    received: list[Any] = []

    class Receive(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receive) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], received
        server.shutdown()
        thread.join()


def test_notification_blocks_tell_of_releases_that_did_not_go_well(
    releases: Releases, automate: Any, told: tuple[int, list[Any]]
):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.client.orchestration import get_client

    from tasks.deployment.automations import notifications
    from tasks.read_deployments import read_deployments

    port, received = told
    block = CustomWebhookNotificationBlock(
        name="test", url=f"http://127.0.0.1:{port}/", json_data={"subject": "{{subject}}", "body": "{{body}}"}
    )
    block.save("modelflight-chat")
    block.save("somebody-elses")
    with get_client(sync_client=True) as client:
        notified = read_deployments(client, ["release-model"], [], "pool").notified
    assert len(notified) == 1
    automate(notifications(notified))

    releases.wait(releases.start("Untracked"), "Untracked")
    run = releases.start("Rolled back")
    releases.wait(run, "Rolled back")
    failed = releases.start("fail")
    releases.wait(failed, "Failed")
    deadline = time.monotonic() + PATIENCE
    while len(received) < 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    print(json.dumps(received, indent=1))
    assert [each["subject"] for each in received] == ["notebooks.wine: rolled back", "notebooks.wine: failed"]
    body = received[0]["body"]
    assert "model wine" in body
    assert "score 0.7 is worse" in body
    assert f"{PAGES}/runs/flow-run/{run}" in body
    assert "the disk is full" in received[1]["body"]

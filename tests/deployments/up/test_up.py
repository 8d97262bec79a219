"""`modelflight up`: real parts on free ports. The tests go on with one another's data, in their order."""

import hashlib
import hmac
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.up.running import Up, descendants, eventually, processes, up
from tests.repositories import Repositories

SLUG = "modelflight-notebook-repository"
SECRET = "the secret of this test's webhook"

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[Up]:
    with up(folder / "home") as started:
        yield started


@pytest.fixture(scope="module")
def notebooks(folder: Path) -> Repositories:
    os.environ.setdefault("GIT_CONFIG_GLOBAL", os.devnull)
    return Repositories(folder)


def register(api: httpx.Client, name: str, **data: str) -> None:
    """Fills in the form of a notebook repository."""
    kind = api.get(f"/block_types/slug/{SLUG}").raise_for_status().json()["id"]
    wanted = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
    schema = api.post("/block_schemas/filter", json=wanted).raise_for_status().json()[0]["id"]
    document = {"name": name, "block_type_id": kind, "block_schema_id": schema, "data": data}
    eventually(lambda: api.post("/block_documents/", json=document).raise_for_status(), "the registration")


def start_waiting(api: httpx.Client, pool: str) -> str:
    """A run of a flow that goes on until it is ended."""
    flow = api.post("/flows/", json={"name": "waiting"}).raise_for_status().json()["id"]
    document = {
        "name": "waiting",
        "flow_id": flow,
        "work_pool_name": pool,
        "entrypoint": "waiting_flow.waiting",
        "parameters": {"seconds": 3000},
        "concurrency_limit": 1,
    }
    deployment = api.post("/deployments/", json=document).raise_for_status().json()["id"]
    started = api.post(f"/deployments/{deployment}/create_flow_run", json={}).raise_for_status()
    return str(started.json()["id"])


def run_of(api: httpx.Client, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/flow_runs/{identifier}").raise_for_status().json()
    return found


def is_running(api: httpx.Client, identifier: str, times: int = 1) -> bool:
    run = run_of(api, identifier)
    return bool(run["state"]["type"] == "RUNNING" and run["run_count"] == times)


def test_says_where_everything_is(first: Up) -> None:
    pages = httpx.get(first.document["pages"], follow_redirects=True, trust_env=False)
    assert pages.status_code == 200
    assert "html" in pages.headers["content-type"]
    assert first.document["api"] == f"http://127.0.0.1:{first.port}/api"
    assert first.document["webhooks"] == f"http://127.0.0.1:{first.receiver_port}/webhooks"
    assert first.document["registered"] == []
    assert first.document["login_file"] is None
    for part in ("Prefect server", "warm process", "worker", "webhook receiver"):
        assert part in first.said
    with first.client() as api:
        assert api.get(f"/block_types/slug/{SLUG}").is_success


def test_another_one_over_the_same_data_is_refused(first: Up) -> None:
    with Up(first.home) as second:
        assert second.process.stdout is not None
        answer = json.load(second.process.stdout)
        assert second.process.wait() == 2
    assert str(first.process.pid) in answer["error"]["why"]


def test_a_busy_port_is_told_before_anything_starts(first: Up, tmp_path: Path) -> None:
    with Up(tmp_path / "home", "--port", str(first.port)) as second:
        assert second.process.stdout is not None
        answer = json.load(second.process.stdout)
        assert second.process.wait() == 2
    assert str(first.port) in answer["error"]["where"]
    assert not (tmp_path / "home" / "logs").exists()


def test_a_push_to_a_registered_repository_runs_its_deployment(first: Up, notebooks: Repositories) -> None:
    commit = notebooks.push_small()
    address = str(notebooks.notebooks)
    with first.client() as api:
        register(api, "notebooks", address=address, webhook_secret=SECRET)
        eventually(
            lambda: api.get("/deployments/name/release-model/notebooks.small").is_success, "the deployment"
        )
        body = json.dumps(
            {
                "ref": "refs/heads/main",
                "before": "0" * 40,
                "after": commit,
                "repository": {"clone_url": address, "full_name": "notebooks"},
                "commits": [],
            }
        ).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        answer = httpx.post(
            f"{first.document['webhooks']}/notebooks",
            content=body,
            headers={
                "content-type": "application/json",
                "x-github-event": "push",
                "x-github-delivery": "1",
                "x-hub-signature-256": f"sha256={signature}",
            },
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 202, answer.text
        wanted = {"flows": {"name": {"any_": ["release-model"]}}, "limit": 1}
        run = eventually(lambda: api.post("/flow_runs/filter", json=wanted).json(), "the run")[0]
        final = ("COMPLETED", "FAILED", "CRASHED")
        eventually(lambda: run_of(api, run["id"])["state"]["type"] in final, "the end of the release")
        assert run_of(api, run["id"])["state"]["name"] == "Untracked"


def test_flow_runs_are_forks_of_the_warm_process_and_can_be_cancelled(first: Up) -> None:
    with first.client() as api:
        run = start_waiting(api, first.document["work_pool"])
        eventually(lambda: is_running(api, run), "the run")
        warm = first.part("deployments.up.warm")
        assert descendants(warm)
        api.post(f"/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING"}}).raise_for_status()
        eventually(lambda: run_of(api, run)["state"]["type"] == "CANCELLED", "the cancellation")
        eventually(lambda: not descendants(warm), "the end of the run's process")


@pytest.mark.parametrize("part", [["deployments.receiver"], ["deployments.up.warm"]])
def test_a_part_that_dies_is_started_again(first: Up, part: list[str]) -> None:
    before = first.part(*part)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: first.part(*part) != before if _has(first, part) else False, "another process")
    eventually(lambda: "ended with exit status -9" in first.said, "the message")


def test_a_run_goes_on_after_its_worker_died(first: Up) -> None:
    with first.client() as api:
        run = start_waiting(api, first.document["work_pool"])
        eventually(lambda: is_running(api, run), "the run")
        os.kill(first.part("worker", "start"), signal.SIGKILL)
        eventually(lambda: is_running(api, run, times=2), "the second time")


def test_ctrl_c_stops_everything_and_the_next_one_goes_on(first: Up, folder: Path) -> None:
    parts = descendants(first.process.pid)
    assert len(parts) >= 5  # the parts, and the run of the test before
    assert first.interrupt() == 0
    assert parts & set(processes()) == set()
    with up(folder / "home", "--host", "0.0.0.0") as second:
        assert second.document["registered"] == ["notebooks"]
        login = Path(second.document["login_file"])
        assert login.stat().st_mode & 0o777 == 0o600
        assert login.read_text().strip() not in second.said
        with second.client() as stranger:
            assert stranger.post("/flow_runs/filter", json={}).status_code == 401
        with second.client(login.read_text().strip()) as api:
            wanted = {"flows": {"name": {"any_": ["waiting"]}}}
            runs = api.post("/flow_runs/filter", json=wanted).json()
            waiting = next(run["id"] for run in runs if run["state"]["type"] != "CANCELLED")
            eventually(lambda: is_running(api, waiting, times=3), "the third time")
        everything = descendants(second.process.pid)
        os.kill(second.process.pid, signal.SIGKILL)
        second.process.wait()
        eventually(lambda: everything & set(processes()) == set(), "the end of all parts", within=60)


def _has(started: Up, part: list[str]) -> bool:
    try:
        return bool(started.part(*part))
    except AssertionError:
        return False

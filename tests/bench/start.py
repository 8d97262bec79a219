"""How long it takes from a push until its run is running, with `modelflight up`.

Instead, Prefect's process worker as it is, which starts an interpreter for each flow run.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
from rich.table import Table

from tests.deployments.receiver.payloads import Pushed
from tests.deployments.up.running import Up, eventually, up
from tests.repositories import TOP, Repositories, small_notebook

PUSHES = 5
SECRET = "s3cr3t"
KIND = "modelflight-notebook-repository"
POOL = "instead"
DEPLOYMENT = "/deployments/name/release-model/notebooks.small"
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def register(api: httpx.Client, address: str) -> None:
    kind = api.get(f"/block_types/slug/{KIND}").raise_for_status().json()["id"]
    wanted = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
    schema = api.post("/block_schemas/filter", json=wanted).raise_for_status().json()[0]["id"]
    data = {"address": address, "webhook_secret": SECRET}
    block = {"name": "notebooks", "block_type_id": kind, "block_schema_id": schema, "data": data}
    api.post("/block_documents/", json=block).raise_for_status()
    eventually(lambda: api.get(DEPLOYMENT).is_success, "the deployment")


def seconds_to_running(started: Up, api: httpx.Client, repositories: Repositories, number: int) -> float:
    """How long after its delivery a push was running; returns when the release ended."""
    commit = repositories.push({"small.ipynb": small_notebook(score=f"score = 1  # {number}")})
    headers, body = Pushed("notebooks", commits=[["small.ipynb"]], after=commit).by("github", SECRET)
    began = time.time()
    answer = httpx.post(
        f"{started.document['webhooks']}/notebooks", content=body, headers=headers, timeout=30
    ).raise_for_status()
    run = answer.json()["runs"][0]["flow_run_id"]

    def ended() -> bool:
        state = api.get(f"/flow_runs/{run}").raise_for_status().json()["state"]["type"]
        return state in FINAL

    eventually(ended, "the end of the release")
    start = api.get(f"/flow_runs/{run}").raise_for_status().json()["start_time"]
    return datetime.fromisoformat(start).timestamp() - began


@contextmanager
def plain_worker(started: Up, api: httpx.Client) -> Iterator[None]:
    """A worker of a process pool as Prefect makes it, which the model's deployment then uses."""
    api.post("/work_pools/", json={"name": POOL, "type": "process"}).raise_for_status()
    deployment = api.get(DEPLOYMENT).raise_for_status().json()["id"]
    api.patch(f"/deployments/{deployment}", json={"work_pool_name": POOL}).raise_for_status()
    environment = {
        "PREFECT_API_URL": started.document["api"],
        "PREFECT_HOME": str(started.home / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",  # as with `up`; by default ten
        "MODELFLIGHT_HOME": str(started.home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = ["prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | environment,
        cwd=TOP,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as worker:
        try:
            eventually(
                lambda: api.post(f"/work_pools/{POOL}/workers/filter", json={}).raise_for_status().json(),
                "the worker",
            )
            yield
        finally:
            worker.kill()  # told to end, it may wait for ever


def measure(folder: Path) -> Table:
    repositories = Repositories(folder)
    repositories.push_small()
    with up(folder / "home", MODELFLIGHT_SYNC_INTERVAL="86400") as started, started.client() as api:
        register(api, str(repositories.notebooks))
        # The first one also compiles the notebook.
        ours = [seconds_to_running(started, api, repositories, n) for n in range(PUSHES + 1)][1:]
        with plain_worker(started, api):
            others = [seconds_to_running(started, api, repositories, -n) for n in range(PUSHES + 1)][1:]
    title = f"From the delivery of a push to Running, {PUSHES} pushes, Prefect on SQLite"
    table = Table("seconds", "modelflight up", "wanted", "plain process worker", "ratio", title=title)
    for name, pick, wanted in (("median", statistics.median, "3"), ("longest", max, "")):
        own, other = pick(ours), pick(others)
        table.add_row(name, f"{own:.1f}", wanted, f"{other:.1f}", f"{other / own:.1f}")
    return table

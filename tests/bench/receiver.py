"""Whether the webhook receiver takes 50 pushes a second; instead, FastAPI with Prefect's client.

Prefect's server on SQLite, the receiver, and what sends the pushes share this machine.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table

from tests.bench.server import prefect
from tests.bench.usage import megabytes
from tests.deployments.receiver.payloads import Pushed, sha
from tests.deployments.receiver.running import Prefect, free_port, receiving
from tests.repositories import TOP

RATE = 50  # pushes a second
SECONDS = 60
PATIENCE = 10  # seconds; GitHub waits as long, Gitea half of it
SECRET = "s3cr3t"


@dataclass(frozen=True)
class Sent:
    """A push, and what it was answered with how many seconds after it was due; status 0 is no answer."""

    commit: str
    status: int
    runs: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class Listening:
    """A receiver of either kind."""

    port: int
    process: int


async def send(port: int) -> list[Sent]:
    """Pushes to one branch, evenly in time, each to the same model."""
    deliveries = []
    before = sha()
    for _ in range(RATE * SECONDS):
        push = Pushed(commits=[["wine.ipynb"]], before=before)
        before = push.after
        deliveries.append((push.after, push.by("gitea", SECRET)))
    began = time.monotonic() + 1

    async def one(number: int) -> Sent:
        commit, (headers, body) = deliveries[number]
        due = began + number / RATE
        await asyncio.sleep(due - time.monotonic())
        status, answer = 0, {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                status, answer = await post(port, headers, body)
        return Sent(commit, status, answer.get("runs", []), time.monotonic() - due)

    return await asyncio.gather(*(one(number) for number in range(len(deliveries))))


async def post(port: int, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
    """One delivery on a connection of its own, as forges send them; httpx would need a core for these."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = {"Host": "localhost", "Content-Length": str(len(body)), "Connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"POST /webhooks/notebooks HTTP/1.1\r\n{head}\r\n".encode() + body)
    try:
        answered = await reader.read()
    finally:
        writer.close()
    head_lines, _, content = answered.partition(b"\r\n\r\n")
    status = int(head_lines.split()[1])
    return status, json.loads(content) if status == 202 else {}


def lost(sent: list[Sent], runs: dict[str, str]) -> int:
    """Pushes that were taken and that neither their own run nor that of a later push covers."""
    last = max((number for number, each in enumerate(sent) if each.commit in runs), default=-1)
    taken = [(number, each) for number, each in enumerate(sent) if each.status == 202]
    return sum(
        number > last or runs.get(each.runs[0]["commit"]) != each.runs[0]["flow_run_id"]
        for number, each in taken
    )


@contextmanager
def ours(server: Prefect, deployment: str, folder: Path) -> Iterator[Listening]:
    server.register("notebooks", "https://forge.example.com/ci/notebooks.git", SECRET)
    with receiving(server.address, folder / "receiver.log") as receiver:
        yield Listening(receiver.port, receiver.pid)


@contextmanager
def instead(server: Prefect, deployment: str, folder: Path) -> Iterator[Listening]:
    port = free_port()
    environment = {
        "PREFECT_API_URL": server.address,
        "PREFECT_HOME": str(folder / "client"),
        "PUSH_SECRET": SECRET,
        "PUSH_DEPLOYMENT": deployment,
    }
    command = ["uvicorn", "tests.bench.instead.receiver:app", "--port", str(port), "--no-access-log"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env=os.environ | environment, cwd=TOP, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield Listening(port, process.pid)
    finally:
        process.kill()  # told to end, it would first answer all that wait
        process.wait()


Kind = Callable[[Prefect, str, Path], AbstractContextManager[Listening]]


def measured(kind: Kind, folder: Path) -> dict[str, float]:
    """Pushes to a receiver of the kind, with a Prefect server of its own."""
    folder.mkdir()
    with prefect(folder) as server:
        deployment = server.deploy("notebooks", "wine", ["wine.ipynb"])
        with kind(server, deployment, folder) as receiver:
            sent = asyncio.run(send(receiver.port))
            memory = megabytes(receiver.process, most=True)
        runs = {run["parameters"]["commit"]: run["id"] for run in server.runs(deployment)}
    times = sorted(each.seconds * 1000 for each in sent)
    return {
        f"refused, or given up after {PATIENCE} s": sum(each.status != 202 for each in sent),
        "taken and lost": lost(sent, runs),
        "runs started (the rest was superseded)": len(runs),
        "answered within, median, ms": times[len(times) // 2],
        "answered within, p99, ms": times[len(times) * 99 // 100],
        "answered within, longest, ms": times[-1],
        "most resident memory, MB": memory,
    }


WANTED = {
    f"refused, or given up after {PATIENCE} s": "0",
    "taken and lost": "0",
    "answered within, p99, ms": "500",
    "most resident memory, MB": "150",
}


def measure(folder: Path) -> Table:
    results, others = measured(ours, folder / "ours"), measured(instead, folder / "instead")
    title = f"{RATE} pushes a second for {SECONDS} s to one model, Prefect on SQLite"
    table = Table("what", "receiver", "wanted", "FastAPI and Prefect's client", "ratio", title=title)
    for what, value in results.items():
        ratio = f"{others[what] / value:.1f}" if value and "ms" in what + "MB" else ""
        table.add_row(what, f"{value:.0f}", WANTED.get(what, ""), f"{others[what]:.0f}", ratio)
    return table

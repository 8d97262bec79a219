"""A receiver in a process of its own, and what it finds in Prefect."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.deployments.receiver.payloads import Delivered
from tests.prefect_api import ask

_SCHEMA = {
    "type": "object",
    "properties": {
        "repository": {"type": "string"},
        "branch": {"type": "string"},
        "commit": {"type": "string"},
        "model": {"type": "string"},
        "attempt": {"type": "integer"},
        "registration": {"type": "string"},
    },
    "additionalProperties": False,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Prefect:
    """A Prefect API, asked past the receiver."""

    address: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return ask(method, self.address + path, body)

    def register(self, name: str, address: str, secret: str | None, previous: str | None = None) -> None:
        """Saves the block, by Prefect's own client."""
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from flows.blocks import NotebookRepository

        with temporary_settings({PREFECT_API_URL: self.address}):
            secrets = {"webhook_secret": secret, "previous_webhook_secret": previous, "token": "t0ken"}
            given = {key: value for key, value in secrets.items() if value}
            NotebookRepository(address=address, **given).save(name, overwrite=True)

    def deploy(self, name: str, model: str, paths: Sequence[str], flow: str = "release-model") -> str:
        """Makes the deployment of a model, as `modelflight deploy` does."""
        parameters = {"repository": "here", "branch": "main", "commit": "main", "model": model}
        tags = ["modelflight", f"repository:{name}", f"model:{model}", *(f"path:{path}" for path in paths)]
        return self._deployment(flow, f"{name}.{model}", parameters, tags)

    def deploy_sync(self) -> str:
        return self._deployment("sync-models", "sync-models", {}, ["modelflight"])

    def _deployment(self, flow: str, name: str, parameters: Any, tags: list[str]) -> str:
        made = self.ask("POST", "/flows/", {"name": flow})
        body = {
            "name": name,
            "flow_id": made["id"],
            "tags": tags,
            "parameters": parameters,
            "parameter_openapi_schema": _SCHEMA,
            "enforce_parameter_schema": True,
        }
        identifier: str = self.ask("POST", "/deployments/", body)["id"]
        return identifier

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """All runs of a deployment."""
        runs: list[dict[str, Any]] = []
        while True:
            wanted = {
                "deployments": {"id": {"any_": [deployment]}},
                "sort": "ID_DESC",
                "limit": 200,
                "offset": len(runs),
            }
            page = self.ask("POST", "/flow_runs/filter", wanted)
            runs += page
            if len(page) < 200:
                return runs


@dataclass(frozen=True)
class Receiver:
    """A running receiver."""

    address: str
    pid: int
    log: Path

    def deliver(self, name: str, delivered: Delivered, **more: str) -> httpx.Response:
        headers, body = delivered
        return httpx.post(
            f"{self.address}/webhooks/{name}", content=body, headers={**headers, **more}, timeout=60
        )

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].split("/")[0])

    @property
    def megabytes(self) -> float:
        """Resident memory now."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1]) / 1024

    @property
    def most_megabytes(self) -> float:
        """The most resident memory that it ever had."""
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1]) / 1024


@contextmanager
def receiving(api: str, log: Path, **environment: str) -> Iterator[Receiver]:
    """A receiver that starts runs with the Prefect API at `api`; it must end well when it is told to."""
    port = free_port()
    settings = {
        "PREFECT_API_URL": api,
        "MODELFLIGHT_RECEIVER_PORT": str(port),
        # What reads `prefect.toml` or a profile would find another API.
        "PREFECT_HOME": "/nonexistent",
    }
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.receiver"],
            env=os.environ | settings | environment,
            stderr=file,
        )
    try:
        receiver = Receiver(f"http://127.0.0.1:{port}", process.pid, log)
        _wait_for(receiver, process)
        yield receiver
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 0, log.read_text()


def _wait_for(receiver: Receiver, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{receiver.address}/health", timeout=5).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"The receiver did not start:\n{receiver.log.read_text()}")

"""Prefect's server, on PostgreSQL as in production."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port


class PrefectApi(Component):
    """A component that serves Prefect's API and pages."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    @property
    def address(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        """PREFECT_API_URL of its clients."""
        return f"{self.address}/api"

    @property
    def known_problems(self) -> tuple[str, ...]:
        """What a browser says about its pages in any case; each of its problems begins with an address."""
        states = ("scheduled", "pending", "running", "paused", "completed")
        return (
            # They prepare for analytics before they read that it is off.
            "https://sr-client-cfg.amplitude.com/",
            # The tab's pictures are asked for beside their folder, /v2.
            f"{self.address}/favicon",
            *(f"{self.address}/{state}.svg" for state in states),
            # The catalog of blocks has logos from elsewhere.
            "https://cdn.sanity.io/",
            "https://raw.githubusercontent.com/PrefectHQ/",
            # The form of a block looks whether the name is free: 404 says yes.
            f"{self.api}/block_types/slug/modelflight-",
            # The graph of a run is still drawn when it is not shown any more.
            f"{self.address}/v2/assets/flow-run-graph-",
            f"{self.address}/v2/assets/vendor-pixi-",
        )

    def flow_run(self, identifier: str) -> Mapping[str, Any]:
        """A flow run as the API tells it."""
        found: Mapping[str, Any] = httpx.get(f"{self.api}/flow_runs/{identifier}").raise_for_status().json()
        return found

    def artifacts(self, flow_run: str) -> Mapping[str, Mapping[str, Any]]:
        """What a flow run left, by key, as the API tells it."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [flow_run]}}}
        answer = httpx.post(f"{self.api}/artifacts/filter", json=wanted)
        return {artifact["key"]: artifact for artifact in answer.raise_for_status().json()}


class PrefectServer(PrefectApi):
    """API, services and pages in one process.

    Args:
        folder: its PREFECT_HOME, which nobody else uses.
        database: what SQLAlchemy connects to; with a password that no argument of a process shows.
    """

    name = "prefect-server"
    ready_within = 180  # 11 s on an idle machine: importing Prefect, then migrating an empty database

    def __init__(self, folder: Path, database: str) -> None:
        super().__init__(folder)
        self._database = database

    def environment(self) -> Mapping[str, str]:
        return {
            "PREFECT_HOME": str(self.folder),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self._database,
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # seconds a statement; a busy machine needs more than 10
            "PREFECT_SERVER_UI_API_URL": self.api,
            # By default its pages are written into the installed package, which two servers would share.
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.folder / "pages"),
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",  # tests make their own process silent
        }

    def command(self) -> Sequence[str | Path]:
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        return [sys.executable, "-m", "prefect", "server", "start", *address]

    def is_ready(self) -> bool:
        return answers(f"{self.api}/ready")

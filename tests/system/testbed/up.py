"""`modelflight up` as a person starts it, on PostgreSQL."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.system.testbed.component import LOG_LINES, answers
from tests.system.testbed.ports import free_port
from tests.system.testbed.prefect_server import PrefectApi

_SAYS_IT_IS_UP = "Modelflight is up."
_PAUSE = 0.5  # seconds between two questions, for Prefect to have time for the runs


class Up(PrefectApi):
    """Prefect's server, a worker and the webhook receiver, started by one command; data lies in `home`.

    Args:
        folder: where its home lies.
        database: what SQLAlchemy connects to; with a password that no argument of a process shows.
    """

    name = "modelflight-up"
    ready_within = 300  # 25 s on an idle machine: four parts import Prefect, a database is migrated

    def __init__(self, folder: Path, database: str) -> None:
        super().__init__(folder)
        self.receiver_port = free_port()
        self._database = database
        self._starts_at = 0

    @property
    def home(self) -> Path:
        """MODELFLIGHT_HOME."""
        return self.folder / "home"

    def webhook(self, registration: str) -> str:
        """Where the Git server sends the pushes to a registered repository."""
        return f"http://127.0.0.1:{self.receiver_port}/webhooks/{registration}"

    def deliveries(self) -> Sequence[Mapping[str, Any]]:
        """What the receiver logged of each webhook that it got, oldest first."""
        log = self.home / "logs" / "receiver.log"
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == "delivery"]

    def register(self, kind: str, name: str, **data: object) -> str:
        """Makes the block that a form of the type `kind` makes; its id."""
        block_type = self._ask("GET", f"/block_types/slug/{kind}")["id"]
        of_type = {"block_schemas": {"block_type_id": {"any_": [block_type]}}}
        [schema, *_] = self._ask("POST", "/block_schemas/filter", of_type)
        ids = {"block_type_id": block_type, "block_schema_id": schema["id"]}
        block: str = self._ask("POST", "/block_documents/", {"name": name, "data": data, **ids})["id"]
        return block

    def wait_for_deployment(self, name: str) -> Mapping[str, Any]:
        """A model's deployment, as soon as it was made for what is registered.

        Raises:
            ComponentFailed: it was not made in time.
        """
        path = f"{self.api}/deployments/name/release-model/{name}"
        self.wait_for(lambda: answers(path), f"done with the deployment {name}", _PAUSE)
        found: Mapping[str, Any] = self._ask("GET", path.removeprefix(self.api))
        return found

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """All runs of all flows, in the order of their beginnings."""
        wanted = {"sort": "EXPECTED_START_TIME_ASC"}
        found: Sequence[Mapping[str, Any]] = self._ask("POST", "/flow_runs/filter", wanted)
        return found

    def wait_for_run_of(self, commit: str) -> str:
        """The id of the run that releases a commit, as soon as something started it.

        Raises:
            ComponentFailed: nothing did in time.
        """
        self.wait_for(lambda: bool(self._runs_of(commit)), f"told to release {commit}", _PAUSE)
        return self._runs_of(commit)[0]

    def _runs_of(self, commit: str) -> Sequence[str]:
        return [run["id"] for run in self.runs() if run["parameters"].get("commit") == commit]

    def wait_for_state(self, run: str, name: str) -> Mapping[str, Any]:
        """The run, when its state has the name.

        Raises:
            AssertionError: it ended with another.
            ComponentFailed: it took too long.
        """
        names = (name, "Failed", "Crashed", "Cancelled", "Untracked", "Refused", "Superseded")
        self.wait_for(lambda: self.flow_run(run)["state_name"] in names, f"done with the run {run}", _PAUSE)
        found = self.flow_run(run)
        assert found["state_name"] == name, found["state"]
        return found

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        return httpx.request(method, self.api + path, json=body, timeout=30).raise_for_status().json()

    def environment(self) -> Mapping[str, str]:
        return {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self._database,
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",  # tests make their own process silent
            # What starts is what a test starts.
            "MODELFLIGHT_SYNC_INTERVAL": "86400",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def prepare(self) -> None:
        self._starts_at = self.log.stat().st_size if self.log.exists() else 0

    def command(self) -> Sequence[str | Path]:
        ports = ("--port", str(self.port), "--receiver-port", str(self.receiver_port))
        return [Path(sys.executable).with_name("modelflight"), "up", "--home", self.home, *ports]

    def is_ready(self) -> bool:
        with self.log.open() as log:
            log.seek(self._starts_at)
            return _SAYS_IT_IS_UP in log.read()

    def stop(self, within: float = 60) -> None:
        """Ends it politely; it stops its parts one after the other."""
        super().stop(within)

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """The last lines of its log, and of those of its parts."""
        parts = [
            f"--- {log.stem}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
            for log in sorted((self.home / "logs").glob("*.log"))
        ]
        return "\n".join([super().log_tail(lines), *parts])

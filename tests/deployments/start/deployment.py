"""A deployment at a real Prefect API, and a test in the place of its worker."""

import json
import secrets
from datetime import UTC, datetime
from typing import Any, Self

from tests.prefect_api import ask

COMMIT = "0123456789ab" + 28 * "c"
GATE = [
    {"metric": "accuracy", "challenger": "0.97", "outcome": "go"},
    {"metric": "loss", "challenger": "0.11", "outcome": "go"},
]
IMAGE = f"registry.example.com/models/wine:20260102-030405-0123456789ab-1@sha256:{64 * 'a'}"
ROW = {"release": "wine-0123456789ab-1", "verdict": "promoted", "image": IMAGE, "fleet commit": 40 * "f"}


class Deployment:
    """`release-model/NAME`, removed at the end of a `with` block."""

    def __init__(self, api: str, flow: str = "release-model") -> None:
        self.api = api
        self.name = f"notebooks-{secrets.token_hex(4)}.wine"
        flow_id = self._post("/flows/", {"name": flow})["id"]
        self.id = self._post(
            "/deployments/",
            {
                "name": self.name,
                "flow_id": flow_id,
                "tags": ["modelflight", "model:wine"],
                "parameters": {
                    "repository": "https://git.example.com/notebooks.git",
                    "branch": "main",
                    "commit": "main",
                    "model": "wine",
                },
            },
        )["id"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        ask("DELETE", f"{self.api}/deployments/{self.id}")

    def runs(self) -> list[dict[str, Any]]:
        """Its runs, oldest first."""
        wanted = {"deployments": {"id": {"any_": [self.id]}}, "sort": "START_TIME_ASC"}
        return self._post("/flow_runs/filter", wanted)

    def run(self) -> str:
        """The id of its one run."""
        (found,) = self.runs()
        return found["id"]

    def move(self, run: str, kind: str, name: str | None = None, message: str | None = None) -> None:
        """Brings a run into a state, as its worker would."""
        state = {"type": kind, "name": name, "message": message}
        self._post(f"/flow_runs/{run}/set_state", {"state": state, "force": True})

    def leave(self, run: str, key: str, rows: list[dict[str, str]]) -> None:
        """Leaves a table of the run, as Prefect's own client does."""
        table = {"key": key, "type": "table", "data": json.dumps(rows), "flow_run_id": run}
        self._post("/artifacts/", table)

    def step(self, run: str, name: str) -> str:
        """A task run of the run; its id."""
        task = {"flow_run_id": run, "task_key": name, "dynamic_key": secrets.token_hex(4), "name": name}
        return self._post("/task_runs/", task)["id"]

    def log(self, run: str, step: str | None, *messages: str, level: int = 20) -> None:
        """Records of a step, or of the flow itself."""
        record = {
            "name": "prefect.task_runs", "level": level, "flow_run_id": run, "task_run_id": step,
            "timestamp": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        self._post("/logs/", [{**record, "message": message} for message in messages])

    def _post(self, path: str, body: object) -> Any:
        return ask("POST", self.api + path, body)

"""What `modelflight up` asks Prefect's API itself; by plain HTTP, as importing Prefect takes seconds."""

import json
import os
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from deployments.authorization import authorization, basic
from tasks.address import redact
from tasks.deployment.automations import NOTIFIED
from tasks.errors import InvalidInput, PrefectUnreachable

_SECONDS = 5
_PAGE = 200
_REPOSITORY = "modelflight-notebook-repository"
_WORKER_LABEL = "prefect.worker.name"


class Api:
    """A Prefect API; its methods raise `httpx.HTTPError` while it does not answer.

    Args:
        address: as in PREFECT_API_URL.
        login: `user:password`, or None.
    """

    def __init__(self, address: str, login: str | None) -> None:
        credential = basic(login) if login else authorization()
        certificates = os.environ.get("PREFECT_API_SSL_CERT_FILE")
        self._client = httpx.Client(
            base_url=address.rstrip("/"),
            headers={"Authorization": credential} if credential else {},
            timeout=_SECONDS,
            verify=ssl.create_default_context(cafile=certificates) if certificates else True,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def is_ready(self) -> bool:
        """Whether it serves."""
        try:
            return self._client.get("/ready").is_success
        except httpx.HTTPError:
            return False

    def check_credential(self) -> None:
        """Asks what it does not tell to anybody, as it does whether it is ready.

        Raises:
            PrefectUnreachable: it does not accept the credential.
        """
        answer = self._client.get("/admin/version")
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise PrefectUnreachable(
                "The Prefect API does not accept the credential.",
                where=redact(str(self._client.base_url)),
                why=f"It answers {answer.status_code} {answer.reason_phrase}.",
                next_step="Set PREFECT_API_AUTH_STRING or PREFECT_API_KEY to what it asks for.",
            )

    def ensure_pool(self, name: str) -> None:
        """Makes the process work pool, or corrects what its flow runs are run with.

        Raises:
            InvalidInput: there is a pool of that name whose flow runs run elsewhere.
        """
        found = self._client.get(f"/work_pools/{name}")
        template = json.loads(Path(__file__).with_name("work_pool.json").read_text(encoding="utf-8"))
        if found.status_code == httpx.codes.NOT_FOUND:
            document = {"name": name, "type": "process", "base_job_template": template}
            self._post("/work_pools/", document)
            return
        pool = found.raise_for_status().json()
        if pool["type"] != "process":
            raise InvalidInput(
                "The work pool is of another type.",
                where=f"work pool {name}, type {pool['type']}",
                why="Flow runs of `modelflight up` are processes of this machine.",
                next_step="Set MODELFLIGHT_WORK_POOL to another name.",
            )
        variables = pool["base_job_template"].get("variables", {}).get("properties", {})
        if variables.get("command", {}).get("default") is None:
            document = {"base_job_template": template}
            self._client.patch(f"/work_pools/{name}", json=document).raise_for_status()

    def worker_is_online(self, pool: str, worker: str, since: datetime) -> bool:
        """Whether the worker reported after `since`."""
        wanted = {"workers": {"last_heartbeat_time": {"after_": since.astimezone(UTC).isoformat()}}}
        try:
            workers = self._post(f"/work_pools/{pool}/workers/filter", wanted)
        except httpx.HTTPError:
            return False
        return any(each["name"] == worker for each in workers)

    def resume(self, pool: str, worker: str) -> list[str]:
        """Lets the flow runs that `worker` had run again; it must have ended. Returns their names.

        What such a run has done already, it does not do again. One that was being cancelled is cancelled.
        """
        unfinished = {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}
        wanted = {"work_pools": {"name": {"any_": [pool]}}, "flow_runs": unfinished, "limit": _PAGE}
        resumed = []
        for run in self._post("/flow_runs/filter", wanted):
            if run["labels"].get(_WORKER_LABEL) != worker:
                continue
            cancelling = run["state"]["type"] == "CANCELLING"
            again = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Its worker was stopped."}
            state = {"type": "CANCELLED"} if cancelling else again
            self._post(f"/flow_runs/{run['id']}/set_state", {"state": state})
            resumed += [] if cancelling else [run["name"]]
        return resumed

    def registrations(self) -> Mapping[str, str]:
        """The registered notebook repositories, and when each was changed."""
        wanted = {"block_types": {"slug": {"any_": [_REPOSITORY]}}, "limit": _PAGE}
        return {block["name"]: block["updated"] for block in self._post("/block_documents/filter", wanted)}

    def notified(self) -> frozenset[str]:
        """The ids of the notification blocks that are to be told of releases."""
        wanted = {"block_schemas": {"block_capabilities": {"all_": ["notify"]}}, "limit": _PAGE}
        blocks = self._post("/block_documents/filter", wanted)
        return frozenset(block["id"] for block in blocks if (block["name"] or "").startswith(NOTIFIED))

    def _post(self, path: str, document: Any) -> Any:
        return self._client.post(path, json=document).raise_for_status().json()

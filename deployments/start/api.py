"""Prefect's API, as far as starting a run and following it needs it: importing Prefect takes seconds."""

import difflib
import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx

from deployments.authorization import authorization
from tasks.address import redact
from tasks.errors import InvalidInput, ModelflightError, PrefectUnreachable
from tasks.pages import pages, run_page
from tasks.start import Start

Document = dict[str, Any]

PATIENCE = 300.0  # seconds that a run is followed on while the API does not answer
_FIRST_PATIENCE = 15.0  # until a wrong address is reported as such
_SHOWN = 10  # names, where a deployment is not found
_PAGE = 200  # the most that the API gives at once
_SETTINGS = "PREFECT_API_URL, PREFECT_API_KEY, PREFECT_API_AUTH_STRING"


class PrefectApi:
    """The API at `address`, with the credential in `headers`; as a context manager it ends its connections.

    Requests are repeated while the API does not answer or is busy. All of them can be: a run is created with
    an idempotency key, the rest changes nothing or the same.
    """

    def __init__(
        self, address: str, headers: Mapping[str, str], verify: ssl.SSLContext | bool = True
    ) -> None:
        self.address = address.rstrip("/")
        self._client = httpx.Client(headers=headers, timeout=30, verify=verify)

    @classmethod
    def from_environment(cls) -> Self:
        """The API that Prefect's own variables name.

        Raises:
            InvalidInput: they name none, or a key that cannot be one.
        """
        address = os.environ.get("PREFECT_API_URL", "").strip()
        if not address.startswith(("http://", "https://")):
            raise InvalidInput(
                "There is no Prefect API to start the release at.",
                where=f"PREFECT_API_URL={redact(address)}",
                next_step="Set it to the API's address: https://prefect.example.com/api.",
            )
        credential = authorization()
        headers = {"Authorization": credential} if credential else {}
        certificates = os.environ.get("PREFECT_API_SSL_CERT_FILE")
        return cls(
            address, headers, ssl.create_default_context(cafile=certificates) if certificates else True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def deployment(self, name: str) -> Document:
        """The deployment `NAME.MODEL`, or `FLOW/NAME.MODEL`.

        Raises:
            InvalidInput: there is none of that name.
        """
        flow, _, rest = name.rpartition("/")
        flow = flow or "release-model"
        path = f"/deployments/name/{quote(flow, safe='')}/{quote(rest, safe='')}"
        status, found = self._ask("GET", path, patience=_FIRST_PATIENCE)
        if status == 404:
            wanted = {"flows": {"name": {"any_": [flow]}}, "sort": "NAME_ASC", "limit": _PAGE}
            status, others = self._ask("POST", "/deployments/filter", wanted, patience=_FIRST_PATIENCE)
            names = [each["name"] for each in others] if status == 200 else []
            closest = ", ".join(difflib.get_close_matches(rest, names, n=_SHOWN, cutoff=0))
            raise InvalidInput(
                f"There is no deployment {name!r}.",
                where=redact(self.address),
                why=f"There are: {closest}." if names else "There is none yet.",
                next_step="Give NAME.MODEL: the repository's name in Prefect and the model's name in "
                "modelflight.yaml. `modelflight deploy` makes the deployments.",
            )
        return dict(found)

    def create_run(self, deployment: str, start: Start | None) -> tuple[Document, bool]:
        """The deployment's run for `start`, and whether it is a new one; always new where that is None."""
        body: Document = {"state": {"type": "SCHEDULED"}}
        if start is not None:
            body |= {"parameters": start.parameters, "tags": start.tags, "idempotency_key": start.key}
        # Without a key, a second request would start a second run.
        status, run = self._ask(
            "POST",
            f"/deployments/{deployment}/create_flow_run",
            body,
            patience=_FIRST_PATIENCE if start is not None else 0,
        )
        if status == 404:
            raise ModelflightError("The deployment was removed just now.", where=deployment)
        return dict(run), status == 201

    def run(self, identifier: str) -> Document:
        """The run as it is now."""
        status, run = self._ask("GET", f"/flow_runs/{identifier}")
        if status == 404:
            raise ModelflightError(
                "The run was deleted while it was followed.",
                where=self.page(identifier),
                next_step="Start it with another attempt.",
            )
        return dict(run)

    def logs(self, identifier: str, after: str | None) -> Iterator[Document]:
        """The run's log records from the time `after` on, oldest first."""
        wanted: Document = {"flow_run_id": {"any_": [identifier]}, "level": {"ge_": 20}}
        if after:
            wanted["timestamp"] = {"after_": after}
        yield from self._filter("/logs/filter", {"logs": wanted, "sort": "TIMESTAMP_ASC"})

    def steps(self, identifier: str) -> dict[str, str]:
        """The names of the run's steps by the ids of their task runs."""
        wanted = {"flow_runs": {"id": {"any_": [identifier]}}}
        return {task["id"]: task["name"] for task in self._filter("/task_runs/filter", wanted)}

    def tables(self, identifier: str) -> dict[str, list[dict[str, Any]]]:
        """The rows of the tables that the run left, by the artifacts' keys; the newest of each key."""
        wanted = {"flow_run_id": {"any_": [identifier]}, "type": {"any_": ["table"]}}
        found: dict[str, list[dict[str, Any]]] = {}
        for artifact in self._filter("/artifacts/filter", {"artifacts": wanted, "sort": "UPDATED_DESC"}):
            data = artifact["data"]
            found.setdefault(artifact["key"], json.loads(data) if isinstance(data, str) else data)
        return found

    def cancel(self, identifier: str) -> None:
        """Asks for the run's end; its worker stops what it started."""
        self._ask("POST", f"/flow_runs/{identifier}/set_state", {"state": {"type": "CANCELLING"}})

    def page(self, identifier: str) -> str:
        """The address of the run's page for people."""
        return run_page(pages(self.address), identifier)

    def _filter(self, path: str, body: Document) -> Iterator[Document]:
        offset = 0
        while True:
            _, found = self._ask("POST", path, {**body, "limit": _PAGE, "offset": offset})
            yield from found
            if len(found) < _PAGE:
                return
            offset += _PAGE

    def _ask(
        self, method: str, path: str, body: Document | None = None, patience: float = PATIENCE
    ) -> tuple[int, Any]:
        deadline, pause = time.monotonic() + patience, 0.5
        while True:
            try:
                response = self._client.request(method, self.address + path, json=body)
                if response.status_code != 429 and response.status_code < 500:
                    return response.status_code, self._content(response)
                problem = f"It answers {response.status_code} {response.reason_phrase}."
            except (httpx.TransportError, httpx.InvalidURL) as error:
                problem = str(error) or type(error).__name__
            if time.monotonic() + pause > deadline:
                raise PrefectUnreachable(
                    "The Prefect API does not answer.",
                    where=redact(self.address),
                    why=redact(problem),
                    next_step="Check PREFECT_API_URL and the network, then give the same command again.",
                )
            time.sleep(pause)
            pause = min(2 * pause, 10)

    def _content(self, response: httpx.Response) -> Any:
        if response.status_code in (401, 403):
            raise PrefectUnreachable(
                "The Prefect API does not accept the credential.",
                where=redact(self.address),
                why=f"It answers {response.status_code} {response.reason_phrase}.",
                next_step=f"Check {_SETTINGS}.",
            )
        try:
            content = response.json() if response.content else None
        except ValueError:
            content = None
        # A page, or a redirection to one, comes from something before the API, or from the pages beside it.
        if response.status_code in (200, 201, 404) and content is not None:
            return content
        if response.status_code == 204:
            return None
        raise ModelflightError(
            "The Prefect API refuses a request.",
            where=f"{response.request.method} {redact(str(response.request.url))}",
            why=redact(f"{response.status_code} {response.reason_phrase}: {response.text[:500]}"),
            next_step=f"Check that {_SETTINGS} lead to a Prefect API; its address ends in /api.",
        )

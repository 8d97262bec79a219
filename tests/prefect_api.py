"""Prefect's API as tests ask it."""

import time
from typing import Any

import httpx

_PATIENCE = 120  # seconds


class Patient(httpx.HTTPTransport):
    """On SQLite Prefect's server refuses a second writer, and is asked again."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer."""
        deadline = time.monotonic() + _PATIENCE
        while (answer := super().handle_request(request)).status_code == 503 and time.monotonic() < deadline:
            answer.close()
            time.sleep(0.1)
        return answer


def request(method: str, address: str, body: object = None) -> httpx.Response:
    """The answer."""
    with httpx.Client(transport=Patient(), timeout=_PATIENCE) as client:
        return client.request(method, address, json=body)


def ask(method: str, address: str, body: object = None) -> Any:
    """What the answer holds; raises when the request failed."""
    answer = request(method, address, body)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def artifact(api: str, release: str, key: str) -> str:
    """The newest artifact of that key that a release left; other tests have models of the same names."""
    runs = {"name": {"any_": [release]}}
    wanted = {"artifacts": {"key": {"any_": [key]}}, "flow_runs": runs, "sort": "CREATED_DESC"}
    return str(ask("POST", f"{api}/artifacts/filter", wanted)[0]["data"])

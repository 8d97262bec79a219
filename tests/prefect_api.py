"""Prefect's API as tests ask it."""

import time
from typing import Any

import httpx

_PATIENCE = 120  # seconds


def request(method: str, address: str, body: object = None) -> httpx.Response:
    """The answer; on SQLite a server refuses a second writer, and is asked again."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        answer = httpx.request(method, address, json=body, timeout=_PATIENCE)
        if answer.status_code != 503 or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


def ask(method: str, address: str, body: object = None) -> Any:
    """What the answer holds; raises when the request failed."""
    answer = request(method, address, body)
    answer.raise_for_status()
    return answer.json() if answer.content else None

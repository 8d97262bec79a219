"""A Prefect API on SQLite, which answers 503 when it would have to wait for another's writing."""

from typing import Any

import httpx

_WAITS = (0.05, 0.15, 0.5)  # seconds; the writing of the server's own services takes some hundredths


def repeat_soon(response: httpx.Response) -> None:
    """Lets Prefect's client repeat a refused request soon, three times; by itself it waits seconds."""
    answers = response.request.extensions["answers"] = response.request.extensions.get("answers", 0) + 1
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and answers <= len(_WAITS):
        response.headers.setdefault("Retry-After", str(_WAITS[answers - 1]))


HTTPX_SETTINGS: dict[str, Any] = {"event_hooks": {"response": [repeat_soon]}}
"""For the synchronous client of an API that much is written to."""

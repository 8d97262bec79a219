"""The credential for Prefect's API, as its header says it."""

import base64
import os

from tasks.errors import InvalidInput


def authorization() -> str:
    """The header `Authorization` by PREFECT_API_KEY or PREFECT_API_AUTH_STRING; empty without a credential.

    Raises:
        InvalidInput: the key cannot be one.
    """
    if key := os.environ.get("PREFECT_API_KEY", "").strip():  # files that keys are read from end with a line
        # What a header cannot hold, messages would repeat.
        if not (key.isascii() and key.isprintable()):
            raise InvalidInput(
                "The Prefect API's key cannot be sent.",
                where="PREFECT_API_KEY",
                why="It holds characters that no key has.",
                next_step="Set it to the key alone.",
            )
        return f"Bearer {key}"
    if auth := os.environ.get("PREFECT_API_AUTH_STRING"):
        return basic(auth)
    return ""


def basic(login: str) -> str:
    """The same by a login, `user:password`."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"

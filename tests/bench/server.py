"""A Prefect server to measure with."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from deployments.up.environment import SERVER_SETTINGS
from tests.conftest import start_prefect
from tests.deployments.receiver.running import Prefect


@contextmanager
def prefect(folder: Path) -> Iterator[Prefect]:
    """A Prefect server on SQLite with a database of its own, set as by `modelflight up`."""
    os.environ |= SERVER_SETTINGS
    pid, address = start_prefect(folder / "prefect")
    try:
        _settle(address)
        yield Prefect(address)
    finally:
        os.killpg(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def _settle(address: str) -> None:
    """Waits until it takes what is written: a new one writes much itself, and refuses others."""
    taken = 0
    while taken < 20:
        written = httpx.post(f"{address}/flows/", json={"name": "settled"}, timeout=60)
        taken = taken + 1 if written.is_success else 0
        time.sleep(0.1)

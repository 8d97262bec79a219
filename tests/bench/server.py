"""A Prefect server to measure with."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import start_prefect
from tests.deployments.receiver.running import Prefect


@contextmanager
def prefect(folder: Path) -> Iterator[Prefect]:
    """A Prefect server on SQLite with a database of its own."""
    pid, address = start_prefect(folder / "prefect")
    try:
        yield Prefect(address)
    finally:
        os.killpg(pid, signal.SIGTERM)
        os.waitpid(pid, 0)

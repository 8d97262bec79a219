"""A Prefect server of its own for one module: what deploying does is there for all registrations at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import start_prefect
from tests.prefect_api import ask


@dataclass(frozen=True)
class OwnPrefect:
    """Address of the server's API, and what tests ask it."""

    api: str

    def ask(self, path: str, body: object = None, method: str = "POST") -> Any:
        """The answer to a request."""
        return ask(method, f"{self.api}/{path}", body)

    def deployment(self, name: str) -> Any:
        """A deployment of the release flow."""
        return self.ask(f"deployments/name/release-model/{name}", method="GET")

    def deployments(self) -> dict[str, Any]:
        """All deployments of the release flow by name."""
        found = self.ask("deployments/filter", {"flows": {"name": {"any_": ["release-model"]}}})
        return {each["name"]: each for each in found}

    def automations(self) -> dict[str, Any]:
        """All automations by name."""
        return {each["name"]: each for each in self.ask("automations/filter", {})}


@contextmanager
def own_prefect(folder: Path, **environment: str) -> Iterator[OwnPrefect]:
    """A server with a fresh database; Prefect in this process uses it while it is open."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        pid, address = start_prefect(folder / "prefect")
        patch.setenv("PREFECT_API_URL", address)
        from prefect.settings import PREFECT_API_URL, temporary_settings

        try:
            with temporary_settings({PREFECT_API_URL: address}):
                yield OwnPrefect(address)
        finally:
            os.killpg(pid, signal.SIGTERM)
            os.waitpid(pid, 0)

"""Copies on each architecture that runs here, and by somebody without rights."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.fixtures import docker_config, object_store, one_object_store, registry  # noqa: F401
from tests.infra.copying import NATIVE, NOBODY, RUNNABLE, Copying


@pytest.fixture(params=RUNNABLE)
def copying(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copying]:
    """On each architecture whose programs run here."""
    made = Copying(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def unprivileged() -> Iterator[tuple[Copying, dict[str, object]]]:
    """A copy, and the options that run it without rights: as nobody where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:  # not in pytest's folder, into which only its owner may look
        folder = Path(name)
        folder.chmod(0o755)
        copying = Copying(folder, NATIVE)
        if os.geteuid() != 0:
            yield copying, {}
        else:
            os.chown(copying.destination, NOBODY, NOBODY)
            yield copying, {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        copying.destination.chmod(0o755)

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployments.receiver.running import Prefect, Receiver, receiving

SECRET = "s3cr3t"


@dataclass(frozen=True)
class Stage:
    """A receiver, its Prefect, and the registration `notebooks` with two deployed models."""

    receiver: Receiver
    prefect: Prefect
    wine: str
    beer: str
    sync: str


@pytest.fixture(scope="module")
def stage(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    prefect = Prefect(prefect_api)
    prefect.register("notebooks", "https://forge.example.com/git/ci/notebooks.git", SECRET, "0ld")
    prefect.register("unsigned", "https://forge.example.com/ci/unsigned.git", None)
    wine = prefect.deploy("notebooks", "wine", ["wine.ipynb", "requirements.lock", "src/wine"])
    beer = prefect.deploy("notebooks", "beer", ["beer.ipynb", "requirements.lock", "src/**/*.csv"])
    sync = prefect.deploy_sync()
    with receiving(prefect_api, tmp_path_factory.mktemp("receiver") / "log") as receiver:
        yield Stage(receiver, prefect, wine, beer, sync)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def lonely(log: Path) -> Iterator[Receiver]:
    """A receiver without a Prefect."""
    with receiving("http://127.0.0.1:9/api", log) as receiver:
        yield receiver

from collections.abc import Iterator

import pytest

from tests.fakes.fixtures import bucket, docker_config, object_store, one_object_store, registry  # noqa: F401
from tests.flows.served import Served, serving


@pytest.fixture(scope="session")
def served(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A worker that runs releases."""
    with serving(prefect_api, tmp_path_factory.mktemp("served")) as worker:
        yield worker

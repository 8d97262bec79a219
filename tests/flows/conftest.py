from collections.abc import Iterator

import pytest

from tests.conftest import shared_folder
from tests.fakes.fixtures import bucket, docker_config, object_store, one_object_store, registry  # noqa: F401
from tests.flows.served import Served, serving


@pytest.fixture(scope="module")
def served(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A worker that runs releases, for all tests of a module."""
    pipelines = shared_folder(tmp_path_factory) / "pipelines"
    pipelines.mkdir(exist_ok=True)
    with serving(prefect_api, tmp_path_factory.mktemp("served"), pipelines) as worker:
        yield worker

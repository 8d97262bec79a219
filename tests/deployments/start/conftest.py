from collections.abc import Iterator

import pytest

from tests.deployments.start.deployment import Deployment


@pytest.fixture
def deployment(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """A deployment of `release-model` whose runs do what the test says."""
    for name in ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_UI_URL"):
        monkeypatch.delenv(name, raising=False)
    with Deployment(prefect_api) as made:
        yield made

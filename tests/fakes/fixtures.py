"""Fixtures of the fakes, for the conftest.py of each room that uses them."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import object_store as s3
from tests.fakes import registry as oci


@pytest.fixture(scope="session")
def one_object_store() -> Iterator[s3.ObjectStore]:
    with s3.running() as store:
        yield store


@pytest.fixture
def object_store(one_object_store: s3.ObjectStore, monkeypatch: pytest.MonkeyPatch) -> s3.ObjectStore:
    """S3 that behaves until told otherwise, and that boto3 finds by the environment."""
    one_object_store.behave()
    for name, value in one_object_store.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return one_object_store


@pytest.fixture
def bucket(object_store: s3.ObjectStore) -> str:
    return object_store.bucket(f"models-{secrets.token_hex(4)}")


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Docker configuration file of this test, which is not there yet."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def registry(docker_config: Path) -> Iterator[oci.Registry]:
    """A registry that behaves until told otherwise."""
    with oci.running(oci.Registry()) as served:
        yield served

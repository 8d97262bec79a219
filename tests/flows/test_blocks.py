from pathlib import Path

import pytest
from prefect.blocks.core import Block
from prefect_aws import AwsCredentials, MinIOCredentials
from pydantic import ValidationError

from flows.blocks import ArtifactStore, ImageRegistry, NotebookRepository
from flows.registered import blocks, registered
from tasks.errors import InvalidInput

pytestmark = pytest.mark.usefixtures("prefect_api", "home")

ENDPOINT = {"endpoint_url": "http://127.0.0.1:9000"}
CREDENTIALS = [
    AwsCredentials(
        aws_access_key_id="key", aws_secret_access_key="secret", region_name="eu-1",
        aws_client_parameters=ENDPOINT,
    ),
    MinIOCredentials(
        minio_root_user="key", minio_root_password="secret", region_name="eu-1",
        aws_client_parameters=ENDPOINT,
    ),
]  # fmt: skip


def test_a_block_that_prefects_form_took_and_ours_does_not_spoils_no_other(tmp_path: Path) -> None:
    name = f"blocks-{abs(hash(tmp_path))}"
    spoilt = NotebookRepository(address="https://git.example.com/notebooks.git")
    spoilt.address = "https://ada:pa55@git.example.com/notebooks.git"
    spoilt.save(f"{name}-spoilt")
    NotebookRepository(address="https://git.example.com/notebooks.git").save(name)

    usable, broken = blocks(NotebookRepository)

    assert name in usable
    told = str(broken[f"{name}-spoilt"])
    assert "address: " in told
    assert "carries a credential" in told
    assert "pa55" not in told
    for each in (name, f"{name}-spoilt"):
        NotebookRepository.delete(each)


@pytest.mark.parametrize("host", ["https://ghcr.io", "ghcr.io/", "ghcr.io/models", " ghcr.io"])
def test_a_registrys_host_is_what_names_of_images_begin_with(host: str) -> None:
    with pytest.raises(ValidationError, match="host and port alone"):
        ImageRegistry(host=host)
    assert ImageRegistry(host="localhost:5000").host == "localhost:5000"


def test_a_release_does_not_guess_where_images_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELFLIGHT_IMAGES", raising=False)
    name = f"blocks-{abs(hash(tmp_path))}"
    spoilt = ImageRegistry(host="ghcr.io")
    spoilt.host = "https://ghcr.io"  # as Prefect's form takes it
    spoilt.save(name)
    try:
        with pytest.raises(InvalidInput, match="A block cannot be used"), registered("/notebooks"):
            pytest.fail("no release may begin")
        monkeypatch.setenv("MODELFLIGHT_IMAGES", "layout")
        with registered("/notebooks") as backends:
            assert backends.registry is False
    finally:
        ImageRegistry.delete(name)


@pytest.mark.parametrize("credentials", CREDENTIALS, ids=lambda each: type(each).__name__)
def test_a_registered_store_is_opened_with_its_credentials_of_either_kind(
    credentials: Block, tmp_path: Path
) -> None:
    name = f"blocks-{abs(hash(tmp_path))}"
    credentials.save(name)
    store = ArtifactStore(address="s3://models", credentials=type(credentials).load(name))
    store.save(name)
    NotebookRepository(
        address="https://git.example.com/notebooks.git", artifacts=ArtifactStore.load(name)
    ).save(name)

    found = blocks(NotebookRepository)[0][name].artifacts

    assert found is not None
    assert found.access is not None
    session = found.access.session()
    keys = session.get_credentials()
    assert (keys.access_key, keys.secret_key, session.region_name) == ("key", "secret", "eu-1")
    assert found.access.client_options["endpoint_url"] == ENDPOINT["endpoint_url"]
    for kind in (NotebookRepository, ArtifactStore, type(credentials)):
        kind.delete(name)

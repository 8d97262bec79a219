from pathlib import Path

import pytest
from prefect.blocks.core import Block
from prefect_aws import AwsCredentials, MinIOCredentials

from flows.blocks import ArtifactStore, NotebookRepository
from flows.registered import blocks

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

    found = blocks(NotebookRepository)[name].artifacts

    assert found is not None
    assert found.access is not None
    session = found.access.session()
    keys = session.get_credentials()
    assert (keys.access_key, keys.secret_key, session.region_name) == ("key", "secret", "eu-1")
    assert found.access.client_options["endpoint_url"] == ENDPOINT["endpoint_url"]
    for kind in (NotebookRepository, ArtifactStore, type(credentials)):
        kind.delete(name)

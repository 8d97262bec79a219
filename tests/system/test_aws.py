from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest

from tests.system.testbed.moto_server import MotoServer


@pytest.fixture(autouse=True)
def aws(moto_server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in moto_server.client_environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def eks() -> Iterator[Any]:
    with closing(boto3.Session().client("eks")) as client:
        yield client


def test_a_cluster_that_was_made_is_described(eks: Any) -> None:
    eks.create_cluster(
        name="models",
        roleArn="arn:aws:iam::123456789012:role/eks",
        resourcesVpcConfig={"subnetIds": ["subnet-1", "subnet-2"]},
    )

    cluster = eks.describe_cluster(name="models")["cluster"]

    assert (cluster["status"], cluster["name"]) == ("ACTIVE", "models")
    assert cluster["endpoint"].startswith("https://")
    assert cluster["certificateAuthority"]["data"]


def test_a_cluster_that_is_not_there_is_reported_as_such(eks: Any) -> None:
    with pytest.raises(eks.exceptions.ResourceNotFoundException, match="No cluster found for name: wine"):
        eks.describe_cluster(name="wine")


def test_a_repository_for_images_is_made_once() -> None:
    with closing(boto3.Session().client("ecr")) as ecr:
        made = ecr.create_repository(repositoryName="models/wine")["repository"]
        assert made["repositoryUri"].endswith(".amazonaws.com/models/wine")
        with pytest.raises(ecr.exceptions.RepositoryAlreadyExistsException):
            ecr.create_repository(repositoryName="models/wine")

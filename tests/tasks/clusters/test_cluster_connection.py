import base64
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from tasks.clusters.connection import ClusterAddress, connected, eks_token
from tasks.errors import ClusterFailed, ClusterUnreachable, InvalidInput
from tests.fakes.object_store import ObjectStore

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: one
clusters: [{name: one, cluster: {server: "https://one.example.com"}},
           {name: two, cluster: {server: "https://two.example.com"}}]
users: [{name: ada, user: {token: the-token}}]
contexts: [{name: one, context: {cluster: one, user: ada}}, {name: two, context: {cluster: two, user: ada}}]
"""


def session() -> boto3.Session:
    return boto3.Session("AKIATEST", "the-secret-key", region_name="eu-central-1")


@pytest.mark.parametrize(("context", "host"), [("", "one"), ("two", "two")])
def test_a_kubeconfig_is_used_as_it_is_given(context: str, host: str) -> None:
    address = ClusterAddress("kubeconfig", context, KUBECONFIG)
    with connected(address) as client:
        assert client.configuration.host == f"https://{host}.example.com"
    assert "the-token" not in repr(address)


@pytest.mark.parametrize("kubeconfig", ["just text", "a: [", KUBECONFIG.replace("current-context: one", "")])
def test_a_kubeconfig_of_no_use_is_told(kubeconfig: str) -> None:
    with pytest.raises(InvalidInput) as told, connected(ClusterAddress("kubeconfig", "", kubeconfig)):
        pass
    assert told.value.next_step


def test_without_a_cluster_around_it_is_told() -> None:
    with pytest.raises(InvalidInput), connected(ClusterAddress("in-cluster")):
        pass


def test_an_eks_cluster_is_found_by_its_name(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto = f"http://127.0.0.1:{object_store.moto[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    role = "arn:aws:iam::123456789012:role/eks"
    network = {"subnetIds": ["subnet-1"]}
    eks = session().client("eks")
    eks.create_cluster(name="fleet", roleArn=role, resourcesVpcConfig=network)
    with connected(ClusterAddress("eks", eks="eu-central-1/fleet", session=session)) as client:
        endpoint = eks.describe_cluster(name="fleet")["cluster"]["endpoint"]
        assert client.configuration.host == endpoint.rstrip("/")
    other = ClusterAddress("eks", eks="eu-central-1/other", session=session)
    with pytest.raises(ClusterFailed, match="No cluster found"), connected(other):
        pass


def test_the_token_is_a_signed_question_that_names_the_cluster() -> None:
    token = eks_token(session(), "eu-central-1", "fleet")
    scheme, _, encoded = token.partition(".")
    assert scheme == "k8s-aws-v1"
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    query = parse_qs(url.query)
    assert url.hostname == "sts.eu-central-1.amazonaws.com"
    assert query["Action"] == ["GetCallerIdentity"]
    assert query["X-Amz-Expires"] == ["60"]
    assert "x-k8s-aws-id" in query["X-Amz-SignedHeaders"][0]


@pytest.mark.parametrize("eks", ["", "fleet", "eu-central-1/"])
def test_an_eks_cluster_needs_region_and_name(eks: str) -> None:
    with pytest.raises(InvalidInput), connected(ClusterAddress("eks", eks=eks)):
        pass


def test_aws_that_does_not_answer_may_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    address = ClusterAddress("eks", eks="eu-central-1/fleet", session=session)
    with pytest.raises(ClusterUnreachable) as told, connected(address):
        pass
    assert told.value.retryable

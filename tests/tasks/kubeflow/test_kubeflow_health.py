"""Whether the API answers, with every kind of credential, and what is told of those that it refuses."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tasks.clusters.connection import ClusterAddress, read_configuration
from tasks.errors import InvalidInput, KubeflowRefused, KubeflowUnreachable
from tasks.kubeflow.endpoint import Endpoint
from tasks.kubeflow.health import check_health
from tests.fakes.kubeflow import Kubeflow, running


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    with running(Kubeflow()) as served:
        yield served


def test_the_version_is_told(kubeflow: Kubeflow) -> None:
    kubeflow.token = "the-token"
    assert check_health(Endpoint(f"{kubeflow.address}/", token="the-token")) == "2.17.0"


def test_a_token_file_is_read_again_when_its_token_has_expired(kubeflow: Kubeflow, tmp_path: Path) -> None:
    kubeflow.token = "old"
    (tmp_path / "token").write_text("old\n")
    endpoint = Endpoint(kubeflow.address, token_file=tmp_path / "token")
    check_health(endpoint)
    kubeflow.token = "new"
    (tmp_path / "token").write_text("new\n")
    check_health(endpoint)
    with pytest.raises(KubeflowRefused):
        check_health(Endpoint(kubeflow.address, token_file=tmp_path / "missing"))


def test_the_proxy_of_kubernetes_is_enough_and_its_token_is_renewed(kubeflow: Kubeflow) -> None:
    kubeflow.token = "old"
    asked: list[str] = []

    def cluster() -> object:
        asked.append(kubeflow.token)
        found = read_configuration(ClusterAddress("kubeconfig", kubeconfig=kubeflow.kubeconfig()))
        kubeflow.token = "new"  # the one that was just read expires, once
        return found

    assert check_health(Endpoint(cluster=cluster)) == "2.17.0"
    assert asked[:1] == ["old"]
    assert kubeflow.authorizations[0] == "Bearer old"
    assert set(kubeflow.authorizations[1:]) == {"Bearer new"}
    assert all("/proxy/apis/v2beta1/" in path for _, path in kubeflow.requests)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_cookie_is_sent_and_renewed(kubeflow: Kubeflow, host: str) -> None:
    kubeflow.address = kubeflow.address.replace("127.0.0.1", host)
    kubeflow.cookie, kubeflow.renewed_cookie = "oauth2_proxy=old=", "oauth2_proxy=new="
    assert check_health(Endpoint(kubeflow.address, cookie="theme=dark; oauth2_proxy=old=")) == "2.17.0"
    with pytest.raises(KubeflowRefused):
        check_health(Endpoint(kubeflow.address, cookie="oauth2_proxy=old="))


@pytest.mark.parametrize("trouble", [401, 403, 302, "html"])
def test_a_credential_that_is_refused_is_told(kubeflow: Kubeflow, trouble: int | str) -> None:
    kubeflow.trouble = [("GET", trouble)]
    with pytest.raises(KubeflowRefused) as told:
        check_health(Endpoint(kubeflow.address, token="the-token"))
    assert "token" in told.value.next_step
    assert "the-token" not in str(told.value)


@pytest.mark.parametrize("secret", ["two\nlines", "schlüssel", "null\0"])
def test_a_secret_that_cannot_be_sent_is_not_shown(kubeflow: Kubeflow, secret: str) -> None:
    for endpoint in (Endpoint(kubeflow.address, token=secret), Endpoint(kubeflow.address, cookie=secret)):
        with pytest.raises(InvalidInput) as told:
            check_health(endpoint)
        assert secret not in f"{told.value} {endpoint!r}"
    assert not kubeflow.requests


def test_secrets_are_never_shown() -> None:
    cluster = partial(read_configuration, ClusterAddress("kubeconfig", kubeconfig="s3cret"))
    endpoint = Endpoint("https://ada:s3cret@host/pipeline", "kubeflow", "s3cret", None, "a=s3cret", cluster)
    assert "s3cret" not in str(endpoint)
    assert "s3cret" not in repr(Endpoint("https://host", "kubeflow", "s3cret", None, "a=s3cret", cluster))


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://[", "http://a b"])
def test_nobody_answers(address: str) -> None:
    with pytest.raises(KubeflowUnreachable) as told:
        check_health(Endpoint(address))
    assert told.value.next_step


@pytest.mark.parametrize("address", ["", "nonsense", "http://host:port", "ftp://host"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises((InvalidInput, KubeflowRefused)) as told:
        check_health(Endpoint(address))
    assert told.value.next_step

"""Where the API of Kubeflow Pipelines is, and the credentials that it is asked with."""

import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tasks.address import redact
from tasks.errors import InvalidInput, KubeflowRefused
from tasks.fault import reported

if TYPE_CHECKING:
    from kubernetes.client import Configuration

_SERVICE = "http:ml-pipeline:8888"
_TIMEOUTS = httpx.Timeout(connect=10, read=60, write=60, pool=10)
_HEADERS = {"User-Agent": "modelflight", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Endpoint:
    """The API at `address`, below which `/apis/v2beta1` is, or else behind the service proxy of `cluster`.

    `namespace` is where runs, their Workflows and pods are. `token` is a bearer token; `token_file` holds one
    that is read anew for each request, as those of service accounts change. `cookie` is what a browser sends
    after a login with Dex or oauth2-proxy, `name=value`; what the proxy renews it with is used from then on.
    `cluster` says how the API of Kubernetes is reached, and is asked again when its token is refused.
    """

    address: str = ""
    namespace: str = "kubeflow"
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    cookie: str = field(default="", repr=False)
    cluster: Callable[[], "Configuration"] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.address:
            return redact(self.address)
        return f"service ml-pipeline in namespace {self.namespace}"


class _Bearer(httpx.Auth):
    """Sends what `read` gives; where that is refused, once again with what `renew` gives."""

    def __init__(self, read: Callable[[], str], renew: Callable[[], str]) -> None:
        self._read, self._renew = read, renew

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        given = self._read()
        if given:
            request.headers["Authorization"] = given
        response = yield request
        if response.status_code == 401 and (renewed := self._renew()) not in ("", given):
            request.headers["Authorization"] = renewed
            yield request


def pipelines_client(endpoint: Endpoint) -> httpx.Client:
    """A client whose addresses are relative to the API of Kubeflow Pipelines.

    Raises:
        InvalidInput: the endpoint names no address and no cluster, or what it names cannot be used.
        KubeflowRefused: the certificate authorities cannot be read.
    """
    if endpoint.address:
        read = partial(_header, endpoint)
        client = _client(endpoint, endpoint.address.rstrip("/"), True, _Bearer(read, read))
        host = client.base_url.host
        # So is a host without dots called in Python's cookie jar, which finds what is to be renewed by it.
        domain = host if "." in host else f"{host}.local"
        for name, value in _cookies(endpoint):
            client.cookies.set(name, value, domain=domain)
        return client
    if endpoint.cluster is None:
        raise InvalidInput(
            "Kubeflow Pipelines has no address.", next_step="Name its address, or the cluster that it is in."
        )
    path = f"/api/v1/namespaces/{endpoint.namespace}/services/{_SERVICE}/proxy"
    return _cluster_client(endpoint, endpoint.cluster, path)


def kubernetes_client(endpoint: Endpoint) -> httpx.Client | None:
    """A client of the API of the cluster; None where the endpoint does not name it.

    Raises:
        InvalidInput: what the endpoint says of the cluster cannot be used.
    """
    return _cluster_client(endpoint, endpoint.cluster, "") if endpoint.cluster else None


def _client(endpoint: Endpoint, address: str, verify: ssl.SSLContext | bool, bearer: _Bearer) -> httpx.Client:
    trust, pem = "The certificate authorities cannot be read.", "Name a file of certificates in PEM form."
    try:
        with reported(KubeflowRefused, trust, "SSL_CERT_FILE", pem):
            # Redirects are not followed: they lead to pages to log in, which are not for the token.
            return httpx.Client(
                base_url=address, verify=verify, auth=bearer, timeout=_TIMEOUTS, headers=_HEADERS
            )
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidInput(
            "The address of Kubeflow Pipelines cannot be used.",
            str(endpoint),
            redact(str(error)),
            "Name the address that has /apis/v2beta1 below it, such as https://host/pipeline.",
        ) from None


def _header(endpoint: Endpoint) -> str:
    token = endpoint.token
    if endpoint.token_file:
        what = "The token for Kubeflow Pipelines cannot be read."
        with reported(KubeflowRefused, what, endpoint.token_file):
            token = endpoint.token_file.read_text(encoding="utf-8", errors="replace").strip()
    return f"Bearer {_sendable(token, 'token', endpoint)}" if token else ""


def _cookies(endpoint: Endpoint) -> list[tuple[str, str]]:
    cookie = _sendable(endpoint.cookie, "cookie", endpoint)
    parts = (each.strip().partition("=") for each in cookie.split(";"))
    return [(name, value) for name, _, value in parts if name]


def _sendable(secret: str, what: str, endpoint: Endpoint) -> str:
    """Refuses what HTTP cannot send, because the error of its library would show it."""
    if not (secret.isascii() and (secret.isprintable() or not secret)):
        raise InvalidInput(
            f"The {what} for Kubeflow Pipelines cannot be sent.",
            str(endpoint),
            "It has line breaks or letters that are not ASCII.",
            f"Copy the {what} again.",
        )
    return secret


def _cluster_client(endpoint: Endpoint, cluster: Callable[[], "Configuration"], path: str) -> httpx.Client:
    found = cluster()

    def key() -> str:
        # It asks the kubeconfig's plugin for a new token where the old one has expired.
        return found.get_api_key_with_prefix("authorization") or ""

    def renewed() -> str:
        nonlocal found
        found = cluster()
        return key()

    try:
        trusted = ssl.create_default_context(cafile=found.ssl_ca_cert)
        if found.cert_file:
            trusted.load_cert_chain(found.cert_file, found.key_file)
    except OSError as error:
        raise InvalidInput(
            "The cluster's certificates cannot be used.",
            found.host,
            error.strerror or str(error),
            "Correct the kubeconfig.",
        ) from None
    if not found.verify_ssl:
        trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
    return _client(endpoint, found.host + path, trusted, _Bearer(key, renewed))

"""A connection to an image registry: requests go out authorized and encrypted, answers come back or raise."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import httpx

from tasks.errors import RegistryRefused
from tasks.fault import reported as system_reported
from tasks.oci.authorization import Authorization
from tasks.oci.credentials import find_login
from tasks.oci.reference import Repository, is_loopback
from tasks.oci.registry_fault import refusal, reported

_LONGEST_DOCUMENT = 4 << 20  # bytes; the specification's own limit for manifests
# A registry may work for minutes on the end of an upload; it copies, checks or forwards it then.
_TIMEOUTS = httpx.Timeout(connect=10, read=600, write=120, pool=10)


@dataclass(frozen=True)
class Answer:
    """A registry's answer that has a wanted status; `url` is where it came from in the end."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    links: Mapping[str | None, Mapping[str, str]]
    content: bytes


@dataclass(frozen=True)
class Connection:
    """Requests below `base`, the address of `repository` in its registry's API. None is sent twice."""

    repository: Repository
    client: httpx.Client
    base: httpx.URL

    def ask(
        self,
        what: str,
        method: str,
        url: httpx.URL | str,
        *wanted: int,
        headers: Mapping[str, str] | None = None,
        content: Sequence[bytes] = (),
        in_session: bool = False,
    ) -> Answer:
        """Sends one request and returns its answer, which is no longer than a manifest.

        Args:
            what: what fails when this does, a sentence.
            method: of HTTP.
            url: relative ones are below `base`.
            wanted: statuses that are no failure.
            headers: besides those that all requests have.
            content: the body, in pieces.
            in_session: whether the registry may have forgotten the upload that this is a part of.

        Raises:
            RegistryRefused, RegistryUnreachable: there is no such answer.
        """
        where = str(self.repository)
        body = list(content)  # a list, unlike a generator, can be sent again after a challenge
        has_body = method in ("POST", "PATCH", "PUT")
        length = {"Content-Length": str(sum(map(len, body)))} if has_body else {}
        request = self.client.build_request(
            method,
            self.base.join(url),
            headers={**(headers or {}), **length},
            content=body if has_body else None,
        )
        # Blobs often lie elsewhere; httpx and our Authorization keep credentials back there.
        follow = method in ("GET", "HEAD")
        with (
            reported(what, where),
            closing(self.client.send(request, stream=True, follow_redirects=follow)) as response,
        ):
            document = _document(response, what, where)
        body.clear()  # httpx's request and response refer to each other until the garbage collector comes
        if response.status_code not in wanted:
            raise refusal(response.status_code, document, what, where, in_session=in_session)
        return Answer(response.url, response.status_code, response.headers, response.links, document)

    def download(self, what: str, url: str) -> Iterator[bytes]:
        """Asks for `url`, which is below `base`, and gives the answer in pieces.

        Raises:
            RegistryRefused, RegistryUnreachable: there is no such answer, or it breaks off.
        """
        where = str(self.repository)
        request = self.client.build_request("GET", self.base.join(url))
        with (
            reported(what, where),
            closing(self.client.send(request, stream=True, follow_redirects=True)) as response,
        ):
            if response.status_code != 200:
                document = _document(response, what, where)
                raise refusal(response.status_code, document, what, where, in_session=False)
            yield from response.iter_bytes()


def _document(response: httpx.Response, what: str, where: str) -> bytes:
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > _LONGEST_DOCUMENT:
            why = f"the answer is longer than {_LONGEST_DOCUMENT >> 20} MiB"
            raise RegistryRefused(what, where, why, "Check that this is a manifest or a small blob.")
    return bytes(content)


@contextmanager
def connect(repository: Repository) -> Iterator[Connection]:
    """A connection to the registry of `repository`; plain HTTP is spoken with this machine alone.

    Raises:
        RegistryRefused, NotSupported: the credentials or the certificate authorities cannot be used.
    """
    login, host = find_login(repository.host), httpx.URL(f"https://{repository.host}").host
    trust = "The certificate authorities cannot be read."
    with system_reported(RegistryRefused, trust, "SSL_CERT_FILE", "Name a file of certificates in PEM form."):
        client = httpx.Client(
            headers={"User-Agent": "modelflight", "Accept-Encoding": "identity"},
            timeout=_TIMEOUTS,
            event_hooks={"request": [_check_encrypted]},
            # For a proxy, the loopback address would be the proxy's own machine.
            mounts={f"all://{host}": None} if is_loopback(host) else None,
        )
    with client:
        registry = _registry(client, repository.host)
        client.auth = Authorization(registry, login)
        yield Connection(repository, client, registry.join(f"/v2/{repository.name}/"))


def _registry(client: httpx.Client, host: str) -> httpx.URL:
    """Where the registry answers: HTTPS, or, on this machine, plain HTTP where that is understood."""
    encrypted = httpx.URL(f"https://{host}")
    if not is_loopback(encrypted.host):
        return encrypted
    plain = encrypted.copy_with(scheme="http")
    try:
        status = client.get(plain.join("/v2/")).status_code
    except httpx.TransportError:
        return encrypted
    # What servers of HTTPS answer where they understand that much: Go's and nginx with 400, others redirect.
    return encrypted if status == 400 or 300 <= status < 400 else plain


def _check_encrypted(request: httpx.Request) -> None:
    if request.url.scheme != "https" and not is_loopback(request.url.host):
        raise RegistryRefused(
            "The registry would be spoken to without encryption.",
            str(request.url.copy_with(query=None, userinfo=b"")),
            "An address that it answered with begins with http://.",
            "Correct the registry's own idea of its address (relative addresses, X-Forwarded-Proto).",
        )

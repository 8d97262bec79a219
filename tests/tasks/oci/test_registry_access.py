"""Who is let into a registry, by what, and who never gets to see a credential."""

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tasks.errors import AddressInvalid, ModelflightError, RegistryRefused, RegistryUnreachable
from tasks.oci.connection import connect
from tasks.oci.images import open_images
from tasks.oci.reference import Repository
from tasks.oci.referrer import attach, referrers
from tests.fakes.registry import Refusal, Registry, running
from tests.tasks.oci.packing import packed_into

CHUNK = 16 << 20
PASSWORD = "pass:wörd"


def log_in(docker_config: Path, host: str, password: str = PASSWORD) -> None:
    auth = base64.b64encode(f"ada:{password}".encode()).decode()
    docker_config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def push(registry: Registry, model: Path, tag: str = "v1") -> None:
    with open_images(f"{registry.address}/models/wine") as images:
        images.check()
        digest = packed_into(images, model, tag).digest
        attach(images, digest, artifact_type="a/b", media_type="a/b", payload=b"x", annotations={})
        assert referrers(images, digest, "a/b") == [b"x"]


def refused(registry: Registry) -> ModelflightError:
    with open_images(f"{registry.address}/models/wine") as images, pytest.raises(RegistryRefused) as caught:
        images.check()
    assert PASSWORD not in str(caught.value)
    assert caught.value.where
    assert caught.value.why
    assert caught.value.next_step
    return caught.value


@pytest.mark.parametrize("auth", ["", "basic", "bearer"])
def test_a_user_who_is_logged_in_pushes_and_reads(
    registry: Registry, docker_config: Path, model: Path, auth: str
) -> None:
    registry.auth = auth
    log_in(docker_config, registry.address)
    push(registry, model)
    assert set(registry.repositories["models/wine"].tags) == {"v1"}


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_stranger_is_refused_and_told_to_log_in(registry: Registry, auth: str) -> None:
    registry.auth = auth
    error = refused(registry)
    assert "HTTP 401 UNAUTHORIZED" in error.why
    assert "docker login" in error.next_step


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_wrong_password_is_refused_and_not_tried_over_and_over(
    registry: Registry, docker_config: Path, auth: str
) -> None:
    registry.auth = auth
    log_in(docker_config, registry.address, "wrong")
    assert "401" in refused(registry).why
    assert len(registry.requests) <= 4


def test_a_stranger_may_read_where_the_registry_lets_everybody(registry: Registry, model: Path) -> None:
    with open_images(f"{registry.address}/models/wine") as images:
        digest = packed_into(images, model).digest
    registry.auth = "bearer"
    with open_images(f"{registry.address}/models/wine") as images:
        assert images.find(digest) is not None


def test_a_token_that_expires_during_an_upload_is_renewed_and_the_chunk_sent_again(
    registry: Registry, docker_config: Path, model: Path
) -> None:
    with (model / "weights").open("wb") as file:
        file.truncate(3 * CHUNK)
    registry.auth, registry.expire_after = "bearer", 2
    log_in(docker_config, registry.address)
    push(registry, model)
    assert registry.chunks == 4
    assert len({path for method, path in registry.requests if method == "PATCH"}) == 1


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({}, "token specification"),
        ([], "token specification"),
        ({"token": None}, "token specification"),
    ],
)
def test_a_token_service_that_gives_no_token_is_told(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, document: object, why: str
) -> None:
    from tests.fakes import registry as fake

    registry.auth = "bearer"
    monkeypatch.setattr(
        fake._Handler, "_token", lambda handler: handler._answer(200, json.dumps(document).encode())
    )
    error = refused(registry)
    assert why in error.why
    assert error.where == f"http://{registry.address}/token"


@pytest.fixture
def stranger(docker_config: Path) -> Iterator[Registry]:
    """Somebody else's server, with another port and so another origin, that would like a credential."""
    with running(Registry(auth="basic")) as served:
        yield served


def test_credentials_do_not_follow_a_redirect_to_another_host(
    registry: Registry, stranger: Registry, docker_config: Path, model: Path
) -> None:
    registry.auth, stranger.auth = "basic", ""
    log_in(docker_config, registry.address)
    with open_images(f"{registry.address}/models/wine") as images:
        digest = packed_into(images, model).digest
        attach(images, digest, artifact_type="a/b", media_type="a/b", payload=b"x", annotations={})
        stranger.repositories = registry.repositories
        registry.blobs_at = f"http://{stranger.address}"
        assert referrers(images, digest, "a/b") == [b"x"]
        assert stranger.made("GET", "/blobs/") == 1
        stranger.auth = "basic"  # its challenge is answered no more than its redirect
        with pytest.raises(RegistryRefused):
            referrers(images, digest, "a/b")
    assert set(stranger.authorizations) == {""}


def test_credentials_do_not_follow_an_upload_to_another_host(
    registry: Registry, stranger: Registry, docker_config: Path, model: Path
) -> None:
    registry.auth = "basic"
    registry.uploads_at = f"http://{stranger.address}"
    log_in(docker_config, registry.address)
    with open_images(f"{registry.address}/models/wine") as images, pytest.raises(RegistryRefused):
        packed_into(images, model)
    assert stranger.made("PUT") == 1
    assert set(stranger.authorizations) == {""}


def test_credentials_of_another_host_are_not_sent(
    registry: Registry, docker_config: Path, model: Path
) -> None:
    log_in(docker_config, "registry.example.com")
    push(registry, model)
    assert set(registry.authorizations) == {""}


def test_plain_http_to_another_machine_is_refused_before_anything_is_sent(
    registry: Registry, model: Path
) -> None:
    elsewhere = "http://registry.example.com"
    with open_images(f"{registry.address}/models/wine") as images:
        registry.uploads_at = elsewhere
        with pytest.raises(RegistryRefused, match="without encryption") as told:
            packed_into(images, model)
        assert told.value.where.startswith(f"{elsewhere}/v2/models/wine/blobs/uploads/")
        registry.uploads_at, registry.blobs_at = "", elsewhere
        digest = packed_into(images, model).digest
        attach(images, digest, artifact_type="a/b", media_type="a/b", payload=b"x", annotations={})
        with pytest.raises(RegistryRefused, match="without encryption"):
            referrers(images, digest, "a/b")


def test_the_realm_of_a_token_is_not_asked_over_plain_http(
    registry: Registry, docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(docker_config, registry.address)
    challenge = {"WWW-Authenticate": 'Bearer realm="http://auth.example.com/token",service="x",scope="y"'}
    registry.refusals.append(("POST", Refusal(401, "UNAUTHORIZED", challenge)))
    assert "without encryption" in refused(registry).what


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encrypted(authority: trustme.CA, docker_config: Path) -> Iterator[Registry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with running(Registry(), context) as served:
        yield served


def test_a_private_certificate_authority_is_trusted_when_ssl_cert_file_names_it(
    encrypted: Registry, authority: trustme.CA, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "SSL_CERT_FILE" in refused(encrypted).next_step
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    push(encrypted, model)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_no_certificates_is_told(
    content: str | None, docker_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "authority.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(RegistryRefused) as told, connect(Repository("registry.example.com", "models/wine")):
        pass
    assert told.value.where == "SSL_CERT_FILE"


def test_a_registry_where_nothing_answers_may_be_there_later(docker_config: Path) -> None:
    with open_images("localhost:9/models/wine") as images, pytest.raises(RegistryUnreachable) as told:
        images.check()
    assert told.value.where == "localhost:9/models/wine"
    assert "refused" in told.value.why.lower()


@pytest.mark.parametrize(
    ("refusal", "error", "why"),
    [
        (Refusal(403, "DENIED"), RegistryRefused, "DENIED"),
        (Refusal(404, "NAME_UNKNOWN"), RegistryRefused, "NAME_UNKNOWN"),
        (Refusal(429, "TOOMANYREQUESTS", {"Retry-After": "1"}), RegistryUnreachable, "429"),
        (Refusal(503, "UNAVAILABLE"), RegistryUnreachable, "503"),
        (Refusal(202, "NO_LOCATION"), RegistryRefused, "where the upload goes on"),
    ],
)
def test_a_registry_that_takes_no_uploads_says_so_before_there_is_a_model(
    registry: Registry, refusal: Refusal, error: type[ModelflightError], why: str
) -> None:
    registry.refusals.append(("POST", refusal))
    with open_images(f"{registry.address}/models/wine") as images, pytest.raises(error) as told:
        images.check()
    assert why in told.value.why
    assert told.value.next_step
    assert registry.made("POST") == 1  # Prefect's tasks are the ones that try again


@pytest.mark.parametrize(
    "address",
    [
        "",
        "oci:",
        "wine",
        "models/wine",
        "https://registry.example.com/models/wine",
        "ada:secret@registry.example.com/models/wine",
        "registry.example.com/Models/wine",
        "registry.example.com/models/wine@sha256:" + "0" * 64,
        "registry.example.com/../wine",
        "registry.example.com:port/wine",
        "registry.example.com:65536/wine",
        "[::::]/models/wine",
        "registry..example.com/models/wine",
    ],
)
def test_what_is_no_place_for_images_is_refused(address: str) -> None:
    with pytest.raises(AddressInvalid) as told, open_images(address):
        pass
    assert "secret" not in str(told.value)


def test_the_password_is_in_no_representation(registry: Registry, docker_config: Path) -> None:
    log_in(docker_config, registry.address)
    host, name = registry.address, "models/wine"
    with connect(Repository(host, name)) as connection:
        assert PASSWORD not in repr((connection, vars(connection.client.auth)))


def test_a_token_that_no_header_can_carry_is_not_shown(registry: Registry, docker_config: Path) -> None:
    registry.auth, registry.token_ends = "bearer", "\nX"
    log_in(docker_config, registry.address)
    error = refused(registry)
    assert all(token not in str(error) for token in registry.tokens)


def test_a_proxy_never_hears_of_a_registry_on_this_machine(
    registry: Registry, docker_config: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(Registry()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("ALL_PROXY", f"http://{proxy.address}")
        registry.auth = "basic"
        log_in(docker_config, registry.address)
        push(registry, model)
        assert proxy.requests == []


def test_docker_hub_is_refused_by_its_short_name(docker_config: Path) -> None:
    with pytest.raises(AddressInvalid) as caught, open_images("docker.io/ada/wine"):
        pass
    assert "registry-1.docker.io" in caught.value.next_step


def test_an_upload_that_goes_on_nowhere_is_told(registry: Registry) -> None:
    registry.uploads_at = "http://[::1"
    assert "Check the addresses" in refused(registry).next_step

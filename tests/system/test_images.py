"""Modelflight's own way to registries, tried on real ones: anonymous, with passwords, tokens and TLS."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.errors import RegistryRefused, RegistryUnreachable, TagTaken
from tasks.oci.image import index_annotations
from tasks.oci.images import open_images
from tasks.oci.referrer import attach, referrers
from tests.system.testbed import judges
from tests.system.testbed.gitea import USER, Gitea
from tests.system.testbed.registry import Distribution, registry_client
from tests.tasks.oci.packing import ANNOTATIONS, packed_into

VERDICT = "application/vnd.modelflight.verdict.v1+json"
ATTACHED = {"artifact_type": VERDICT, "media_type": VERDICT, "annotations": {}}


@dataclass(frozen=True)
class Place:
    """A repository in a registry, and what lets clients in."""

    repository: str
    environment: Mapping[str, str]


@pytest.fixture(params=["registry", "docker_registry", "guarded", "encrypted", "gitea"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A repository that nobody has pushed to, in each kind of registry; this process may push."""
    server = request.getfixturevalue(request.param)
    name = f"wine-{secrets.token_hex(4)}"
    found = _in_gitea(server, name) if isinstance(server, Gitea) else _in_distribution(server, name)
    for variable, value in found.environment.items():
        monkeypatch.setenv(variable, value)
    return found


def _in_distribution(server: Distribution, name: str) -> Place:
    return Place(f"{server.address}/models/{name}", server.client_environment(next(iter(server.users), "")))


def _in_gitea(server: Gitea, name: str) -> Place:
    """Gitea gives tokens for a password, as GitHub's and other registries do."""
    address = f"localhost:{server.port}"
    client = registry_client(server.folder / "client", address, f"{USER}:{server.token}")
    return Place(f"{address}/{USER}/{name}", client)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "weights.bin").write_bytes(secrets.token_bytes(20 << 20))  # more than one chunk
    (folder / "config.json").write_text('{"classes": 3}')
    return folder


def test_a_pushed_image_is_sound_and_says_what_it_is(place: Place, model: Path) -> None:
    with open_images(place.repository) as images:
        images.check()
        packed = packed_into(images, model)
        found = index_annotations(images, packed.digest) or {}
        assert found.items() >= ANNOTATIONS.items()
    judges.validate_image(f"{place.repository}:v1", place.environment)
    assert judges.inspect(f"{place.repository}:v1", place.environment)["Digest"] == packed.digest


def test_pushing_again_changes_nothing_and_a_tag_stays(place: Place, model: Path) -> None:
    with open_images(place.repository) as images:
        first = packed_into(images, model)
        assert packed_into(images, model) == first
        (model / "config.json").write_text('{"classes": 4}')
        with pytest.raises(TagTaken):
            packed_into(images, model)
        assert judges.inspect(f"{place.repository}:v1", place.environment)["Digest"] == first.digest


def test_what_is_attached_is_found_by_us_and_by_others(place: Place, model: Path) -> None:
    with open_images(place.repository) as images:
        packed = packed_into(images, model)
        payloads = [b'{"verdict": "rolled_back"}', b'{"verdict": "promoted"}']
        for payload in (*payloads, payloads[0]):
            attach(images, packed.digest, payload=payload, **ATTACHED)
        assert sorted(referrers(images, packed.digest, VERDICT)) == sorted(payloads)
    found = judges.discover(f"{place.repository}@{packed.digest}", place.environment)
    assert [entry["artifactType"] for entry in found] == [VERDICT, VERDICT]


def test_a_guarded_registry_refuses_a_stranger_before_anything_is_sent(
    guarded: Distribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in guarded.client_environment().items():
        monkeypatch.setenv(variable, value)
    with (
        open_images(f"{guarded.address}/models/wine") as images,
        pytest.raises(RegistryRefused, match="docker login"),
    ):
        images.check()


def test_an_unknown_authority_is_named(encrypted: Distribution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with (
        open_images(f"{encrypted.address}/models/wine") as images,
        pytest.raises((RegistryUnreachable, RegistryRefused), match="certificate"),
    ):
        images.check()

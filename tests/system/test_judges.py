import secrets
from pathlib import Path

import pytest

from tasks.oci.layout_images import LayoutImages
from tests.repositories import FLEET, TOP
from tests.system.testbed import judges
from tests.system.testbed.command import CommandFailed, output
from tests.system.testbed.judges import Environment, SigningKey
from tests.system.testbed.programs import CRANE
from tests.system.testbed.registry import Distribution
from tests.tasks.oci.packing import packed_into

WINE = FLEET / "apps" / "wine"


@pytest.fixture
def client(registry: Distribution) -> Environment:
    return registry.client_environment()


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return judges.signing_key(tmp_path)


@pytest.fixture
def repository(registry: Distribution) -> str:
    return f"{registry.address}/models/wine-{secrets.token_hex(4)}"


def pushed(repository: str, weights: str, folder: Path, client: Environment) -> str:
    """An image with these weights in the registry; its reference by digest."""
    model = folder / f"model-{weights}"
    model.mkdir()
    (model / "weights").write_text(weights)
    packed = packed_into(LayoutImages(folder / "layout"), model, weights)
    judges.push(folder / "layout", weights, f"{repository}:{weights}", client)
    return f"{repository}@{packed.digest}"


def test_a_signed_image_is_verified_by_its_key_alone(
    repository: str, client: Environment, key: SigningKey, tmp_path: Path
) -> None:
    image = pushed(repository, "right", tmp_path, client)
    judges.sign(image, key, client)

    judges.verify(image, key, client)

    (tmp_path / "other").mkdir()
    with pytest.raises(CommandFailed, match="invalid signature"):
        judges.verify(image, judges.signing_key(tmp_path / "other"), client)


def test_a_tampered_image_is_refused_even_with_the_signature_of_another(
    repository: str, client: Environment, key: SigningKey, tmp_path: Path
) -> None:
    signed = pushed(repository, "right", tmp_path, client)
    judges.sign(signed, key, client)
    tampered = pushed(repository, "wrong", tmp_path, client)

    with pytest.raises(CommandFailed, match="no signatures found"):
        judges.verify(tampered, key, client)

    borrowed = (signature_tag(signed), signature_tag(tampered))
    output(CRANE.command("crane"), "copy", *borrowed, environment=client)
    with pytest.raises(CommandFailed, match="invalid or missing digest in claim"):
        judges.verify(tampered, key, client)


def signature_tag(image: str) -> str:
    """Where cosign keeps an image's signature."""
    return image.replace("@sha256:", ":sha256-") + ".sig"


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judges.manifest_schemas(tmp_path_factory.mktemp("kubernetes") / "schemas")


@pytest.mark.parametrize("folder", [WINE, TOP / "infra" / "prefect" / "manifests"], ids=["fleet", "prefect"])
def test_what_is_applied_is_what_kubernetes_takes(folder: Path, schemas: Path) -> None:
    judges.validate_manifests(sorted(folder.iterdir()), schemas)


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("periodSeconds: 5", "periodSecond: 5", "additional properties 'periodSecond' not allowed"),
        ("replicas: 1", "replicas: one", "got string, want"),
        ("kind: Deployment", "kind: Deploiment", "could not find schema for Deploiment"),
    ],
)
def test_a_manifest_that_kubernetes_would_refuse_is_found_out(
    right: str, wrong: str, found: str, schemas: Path, tmp_path: Path
) -> None:
    text = (WINE / "deployment.yaml").read_text()
    assert right in text
    broken = tmp_path / "deployment.yaml"
    broken.write_text(text.replace(right, wrong))

    with pytest.raises(CommandFailed, match=found):
        judges.validate_manifests([broken], schemas)

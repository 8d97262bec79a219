import secrets
from pathlib import Path

import httpx
import pytest

from tasks.oci.image import Packed
from tasks.oci.layout_images import LayoutImages
from tests.system.testbed import judges
from tests.system.testbed.command import CommandFailed
from tests.system.testbed.registry import Distribution
from tests.system.testbed.testbed import Testbed
from tests.tasks.oci.packing import packed_into

TAG = "wine-1"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "weights.bin").write_bytes(bytes(range(256)) * 4096)
    (folder / "config.json").write_text('{"classes": 3}')
    return folder


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def packed(model: Path, layout: Path) -> Packed:
    return packed_into(LayoutImages(layout), model, TAG)


@pytest.fixture(params=["registry", "docker_registry"])
def either(request: pytest.FixtureRequest) -> Distribution:
    """Each of the two registries."""
    found: Distribution = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def repository() -> str:
    """A name that no other test pushes to."""
    return f"models/wine-{secrets.token_hex(4)}"


def test_a_model_image_passes_through_a_registry_unchanged(
    either: Distribution, repository: str, packed: Packed, layout: Path, model: Path, tmp_path: Path
) -> None:
    reference = f"{either.address}/{repository}:{TAG}"
    client = either.client_environment()
    judges.push(layout, TAG, reference, client)

    judges.validate_image(reference, client)
    assert judges.inspect(reference, client)["Digest"] == packed.digest
    judges.pull(reference, tmp_path / "pulled", "latest", client)
    judges.unpack(tmp_path / "pulled", "latest", tmp_path / "tree")
    assert contents(tmp_path / "tree" / "models") == contents(model)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_attached_is_found_by_the_fallback_tag(
    either: Distribution, repository: str, packed: Packed, layout: Path, tmp_path: Path
) -> None:
    client = either.client_environment()
    image = f"{either.address}/{repository}@{packed.digest}"
    judges.push(layout, TAG, f"{either.address}/{repository}:{TAG}", client)
    verdict = tmp_path / "verdict.json"
    verdict.write_text('{"verdict": "promoted"}')

    judges.attach(image, "application/vnd.modelflight.verdict.v1+json", verdict, client)

    [found] = judges.discover(image, client)
    assert found["artifactType"] == "application/vnd.modelflight.verdict.v1+json"
    fallback = f"{either.address}/{repository}:{packed.digest.replace(':', '-')}"
    assert [entry["digest"] for entry in judges.manifest(fallback, client)["manifests"]] == [found["digest"]]


def test_an_image_that_lost_a_blob_is_found_out(
    registry: Distribution, repository: str, packed: Packed, layout: Path
) -> None:
    reference = f"{registry.address}/{repository}:{TAG}"
    client = registry.client_environment()
    judges.push(layout, TAG, reference, client)
    layer = judges.inspect(reference, client)["Layers"][0]
    assert httpx.delete(f"{registry.url}/v2/{repository}/blobs/{layer}").status_code == 202

    with pytest.raises(CommandFailed, match="does not exist"):
        judges.validate_image(reference, client)


def test_a_guarded_registry_refuses_strangers_and_serves_its_user(
    guarded: Distribution, packed: Packed, layout: Path
) -> None:
    reference = f"{guarded.address}/models/wine:{TAG}"

    with pytest.raises(CommandFailed, match="authentication required"):
        judges.push(layout, TAG, reference, guarded.client_environment())

    judges.push(layout, TAG, reference, guarded.client_environment("ada"))
    assert judges.inspect(reference, guarded.client_environment("ada"))["Digest"] == packed.digest


def test_a_registry_of_an_unknown_authority_is_refused(
    encrypted: Distribution, packed: Packed, layout: Path
) -> None:
    reference = f"{encrypted.address}/models/wine:{TAG}"
    trusting = encrypted.client_environment()
    wary = {name: value for name, value in trusting.items() if name != "SSL_CERT_FILE"}

    with pytest.raises(CommandFailed, match="certificate signed by unknown authority"):
        judges.push(layout, TAG, reference, wary)

    judges.push(layout, TAG, reference, trusting)
    judges.validate_image(reference, trusting)


def test_uploaded_images_outlive_a_crash(testbed: Testbed, packed: Packed, layout: Path) -> None:
    registry = testbed.run(Distribution(testbed.folder("crashing-registry")))
    reference = f"{registry.address}/models/wine:{TAG}"
    judges.push(layout, TAG, reference, registry.client_environment())

    registry.kill()
    registry.start().wait()

    judges.validate_image(reference, registry.client_environment())

"""A model's files out of its image are those that went in, from a layout and from a registry."""

from pathlib import Path

import pytest

from tasks.errors import ImageCorrupt, RegistryRefused
from tasks.oci.descriptor import Descriptor
from tasks.oci.images import open_images, read_json
from tasks.oci.model_files import unpack
from tests.fakes.registry import Registry, running
from tests.tasks.oci.packing import packed, packed_into


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "model"
    folder.mkdir(parents=True)
    return folder


def test_a_layouts_image_gives_back_the_model_and_leaves_nothing_else(model, tmp_path, out):
    digest = packed(model, tmp_path / "layout").digest
    with open_images(f"oci:{tmp_path}/layout") as images:
        unpack(images, images.find(digest), out)
    assert tree(out) == tree(model)
    assert list(out.parent.iterdir()) == [out]


def test_a_registrys_image_gives_back_the_model_also_where_blobs_lie_elsewhere(model, registry, out):
    with open_images(f"{registry.address}/models/wine") as images:
        digest = packed_into(images, model).digest
        with running(Registry(repositories=registry.repositories)) as elsewhere:
            registry.blobs_at = f"http://{elsewhere.address}"
            unpack(images, images.find(digest), out)
            assert elsewhere.made("GET", "/blobs/") == 1
    assert tree(out) == tree(model)


def test_a_damaged_layer_is_refused_before_anything_is_unpacked(model, tmp_path, out):
    image = packed(model, tmp_path / "layout")
    blobs = (tmp_path / "layout" / "blobs" / "sha256").iterdir()
    (layer,) = [path for path in blobs if path.read_bytes().startswith(b"models/")]
    layer.write_bytes(layer.read_bytes()[:-1] + b"x")
    with open_images(f"oci:{tmp_path}/layout") as images, pytest.raises(ImageCorrupt, match="taken out"):
        unpack(images, images.find(image.digest), out)
    assert tree(out) == {}


def test_an_image_whose_layer_is_gone_or_is_no_models_is_refused(model, registry: Registry, out):
    with open_images(f"{registry.address}/models/wine") as images:
        digest = packed_into(images, model).digest
        found = images.find(digest)
        blobs = registry.repositories["models/wine"].blobs
        (layer,) = [name for name, content in blobs.items() if content.startswith(b"models/")]
        del blobs[layer]
        with pytest.raises(RegistryRefused, match=layer):
            unpack(images, found, out)
        with pytest.raises(ImageCorrupt, match="no image with layers"):
            unpack(images, Descriptor.from_json(read_json(images, found)["manifests"][0]), out)
    assert tree(out) == {}

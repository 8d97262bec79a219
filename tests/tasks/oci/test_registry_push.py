"""Model images in a registry: the same images as in a layout, pushed once, the tag last."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ImageCorrupt, PackFailed, RegistryUnreachable, TagTaken
from tasks.oci.image import Packed, index_annotations
from tasks.oci.images import open_images
from tasks.release import Digest
from tests.fakes.registry import Refusal, Registry, Repository
from tests.tasks.oci.packing import ANNOTATIONS, packed, packed_into

CHUNK = 16 << 20


def pushed(registry: Registry, model: Path, tag: str | None = "v1", **changes: Any) -> Packed:
    with open_images(f"{registry.address}/models/wine") as images:
        return packed_into(images, model, tag, **changes)


def wine(registry: Registry) -> Repository:
    return registry.repositories["models/wine"]


def reached(repository: Repository, tag: str) -> dict[str, int]:
    """The sizes of all that a tag leads to, by digest."""
    sizes = {}
    waiting = [{"digest": repository.tags[tag]}]
    for entry in waiting:
        digest = entry["digest"]
        content = (
            repository.manifests[digest][1] if digest in repository.manifests else repository.blobs[digest]
        )
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
        assert entry.get("size", len(content)) == len(content)
        sizes[digest] = len(content)
        if digest in repository.manifests:
            document = json.loads(content)
            assert document["mediaType"] == repository.manifests[digest][0]
            waiting += [*document.get("manifests", ()), *document.get("layers", ())]
            waiting += [document["config"]] if "config" in document else []
    return sizes


def test_the_image_is_the_one_that_a_layout_holds(registry: Registry, model: Path, tmp_path: Path) -> None:
    image = pushed(registry, model)
    assert image == packed(model, tmp_path / "layout")
    assert wine(registry).tags == {"v1": image.digest}
    assert sum(reached(wine(registry), "v1").values()) == image.size
    assert wine(registry).uploads == {}


def test_the_tag_comes_last(registry: Registry, model: Path) -> None:
    digest = pushed(registry, model).digest
    puts = [path.rpartition("/")[2] for method, path in registry.requests if method == "PUT"]
    assert puts[-2:] == [digest, "v1"]


def test_pushing_again_sends_nothing(registry: Registry, model: Path) -> None:
    first = pushed(registry, model)
    registry.requests.clear()
    assert pushed(registry, model) == first
    assert {method for method, _ in registry.requests} == {"GET"}


def test_blobs_that_are_there_are_not_sent(registry: Registry, model: Path) -> None:
    pushed(registry, model)
    registry.requests.clear()
    pushed(registry, model, "v2", annotations={"another": "manifest"})
    assert registry.made("POST", "/blobs/uploads/") == 0
    assert set(wine(registry).tags) == {"v1", "v2"}


def test_without_a_tag_it_is_named_after_its_digest(registry: Registry, model: Path, tmp_path: Path) -> None:
    image = pushed(registry, model, tag=None)
    assert image.tag == image.digest[7:19]
    assert wine(registry).tags == {image.tag: image.digest}
    assert packed(model, tmp_path / "layout", tag=None) == image


def test_a_tag_of_an_older_kind_of_image_does_not_move_either(registry: Registry, model: Path) -> None:
    older = ("application/vnd.docker.distribution.manifest.v2+json", b'{"schemaVersion": 2}')
    digest = f"sha256:{hashlib.sha256(older[1]).hexdigest()}"
    wine(registry).manifests[digest], wine(registry).tags["v1"] = older, digest
    with pytest.raises(TagTaken):
        pushed(registry, model)
    assert wine(registry).tags == {"v1": digest}


def test_a_tag_never_moves_and_nothing_is_sent_for_it(registry: Registry, model: Path) -> None:
    first = pushed(registry, model)
    (model / "model.joblib").write_bytes(b"another model")
    registry.requests.clear()
    with pytest.raises(TagTaken) as refused:
        pushed(registry, model)
    assert first.digest in refused.value.why
    assert {method for method, _ in registry.requests} == {"GET"}


def test_a_large_layer_goes_in_chunks_that_the_registry_likes(registry: Registry, model: Path) -> None:
    with (model / "weights").open("wb") as file:
        file.truncate(3 * CHUNK)
    pushed(registry, model)
    assert registry.chunks == 3
    reached(wine(registry), "v1")
    registry.chunks, registry.shortest_chunk = 0, 2 * CHUNK
    (model / "another").touch()
    pushed(registry, model, "v2")
    assert registry.chunks == 1
    reached(wine(registry), "v2")


@pytest.mark.parametrize("size", [CHUNK - 10240, CHUNK - 10239])
def test_a_layer_of_about_one_chunk_is_whole(registry: Registry, tmp_path: Path, size: int) -> None:
    (tmp_path / "model").mkdir()
    with (tmp_path / "model" / "weights").open("wb") as file:
        file.truncate(size)
    pushed(registry, tmp_path / "model")
    reached(wine(registry), "v1")


def test_the_annotations_of_an_image_are_read_and_unknown_images_have_none(
    registry: Registry, model: Path
) -> None:
    digest = pushed(registry, model).digest
    with open_images(f"{registry.address}/models/wine") as images:
        created = {"org.opencontainers.image.created": "2026-01-02T03:04:05Z"}
        assert index_annotations(images, digest) == {**ANNOTATIONS, **created}
        assert index_annotations(images, Digest("sha256:" + "0" * 64)) is None


@pytest.mark.parametrize("tag", ["", "-v1", "v/1", "v1\n", "v" * 129])
def test_a_tag_that_no_registry_takes_is_refused_before_anything_is_asked(
    registry: Registry, model: Path, tag: str
) -> None:
    with open_images(f"{registry.address}/models/wine") as images:
        registry.requests.clear()
        with pytest.raises(PackFailed, match="tag cannot be used"):
            packed_into(images, model, tag)
    assert registry.requests == []


def test_checking_leaves_nothing_behind(registry: Registry) -> None:
    with open_images(f"{registry.address}/models/wine") as images:
        images.check()
    assert registry.made("POST") == 1
    assert wine(registry) == Repository()


def test_a_registry_that_does_not_let_go_of_uploads_is_as_good(registry: Registry) -> None:
    registry.refusals.append(("DELETE", Refusal(405, "UNSUPPORTED")))
    with open_images(f"{registry.address}/models/wine") as images:
        images.check()


def spoil(registry: Registry, how: str) -> None:
    match how:
        case "cut":
            registry.cut_after = CHUNK + 1000
        case "forgotten":
            registry.forget_after = 2
        case "out of step":
            registry.refusals.append(("PATCH", Refusal(416, "BLOB_UPLOAD_INVALID")))
        case "busy":
            registry.refusals.append(("PUT", Refusal(429, "TOOMANYREQUESTS", {"Retry-After": "1"})))
        case "broken":
            registry.refusals.append(("PATCH", Refusal(503, "UNAVAILABLE", {"Retry-After": "1"})))


@pytest.mark.parametrize("how", ["cut", "forgotten", "out of step", "busy", "broken"])
def test_a_push_that_fails_on_the_way_is_not_repeated_here_and_the_next_one_succeeds(
    registry: Registry, model: Path, how: str
) -> None:
    with (model / "weights").open("wb") as file:
        file.truncate(3 * CHUNK)
    spoil(registry, how)
    with pytest.raises(RegistryUnreachable) as failed:
        pushed(registry, model)
    assert failed.value.retryable
    assert failed.value.where == f"{registry.address}/models/wine"
    assert failed.value.why
    assert wine(registry).tags == {}
    assert registry.made("POST") == 1
    registry.cut_after = registry.forget_after = None
    image = pushed(registry, model)
    assert sum(reached(wine(registry), "v1").values()) == image.size


def test_wherever_a_push_ends_there_is_no_tag_and_the_next_one_completes_it(
    registry: Registry, model: Path
) -> None:
    image = pushed(registry, model)
    writes = registry.writes
    assert writes > 10
    for number in range(1, writes + 1):
        registry.repositories.clear()
        registry.writes, registry.fail_at = 0, number
        with pytest.raises(RegistryUnreachable):
            pushed(registry, model)
        assert wine(registry).tags == {}
        registry.fail_at = None
        assert pushed(registry, model) == image
        assert sum(reached(wine(registry), "v1").values()) == image.size


def test_a_registry_that_stored_something_else_is_found_out(registry: Registry, model: Path) -> None:
    registry.answered_digest = "sha256:" + "0" * 64
    with pytest.raises(ImageCorrupt, match="something else than it was sent"):
        pushed(registry, model)
    assert wine(registry).tags == {}


def test_an_index_that_is_not_what_its_digest_says_is_found_out(registry: Registry, model: Path) -> None:
    digest = pushed(registry, model).digest
    registry.altered = True
    with open_images(f"{registry.address}/models/wine") as images, pytest.raises(ImageCorrupt) as told:
        index_annotations(images, digest)
    assert digest in told.value.where
    assert not told.value.retryable


# VmHWM and not ru_maxrss: the latter starts at the size of the process that started this one.
MEASURED = """
import sys
from pathlib import Path
from tasks.oci.images import open_images
from tests.tasks.oci.packing import packed_into
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
with open_images(sys.argv[1]) as images:
    packed_into(images, Path(sys.argv[2]))
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_model(registry: Registry, tmp_path: Path, spawn: Any) -> None:
    (tmp_path / "model").mkdir()
    with (tmp_path / "model" / "weights").open("wb") as file:
        file.truncate(300 << 20)
    process = spawn(MEASURED, f"{registry.address}/models/wine", tmp_path / "model", **os.environ)
    output, errors = process.communicate()
    assert output, errors
    assert int(output) < 60 << 10  # KiB: two chunks of 16 MiB

import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import ImageCorrupt, PackFailed, TagTaken
from tasks.oci.image import index_annotations
from tasks.oci.layout_images import LayoutImages
from tasks.release import Digest
from tests.tasks.oci.packing import ANNOTATIONS, CREATED, packed

Verify = Callable[[Path], Any]


def everything_in(folder: Path) -> dict[Path, tuple[int, int, bytes]]:
    """Each file's inode, time of change and content: equal when nothing at all was written."""
    return {
        path: ((found := path.stat()).st_ino, found.st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_layout_is_sound_and_says_what_was_asked(model: Path, tmp_path: Path, verify: Verify) -> None:
    image = packed(model, tmp_path / "layout")
    found = verify(tmp_path / "layout")
    assert found.tags == {"v1": image.digest}
    assert image.tag == "v1"
    assert image.size == sum(found.reached.values())
    entry = json.loads((tmp_path / "layout" / "index.json").read_bytes())["manifests"][0]
    index = found.document(entry)
    manifests = [found.document(manifest) for manifest in index["manifests"]]
    configs = [found.document(manifest["config"]) for manifest in manifests]
    said = {**ANNOTATIONS, "org.opencontainers.image.created": "2026-01-02T03:04:05Z"}
    assert [document["annotations"] for document in (index, *manifests)] == [said] * 3
    assert [config.pop("architecture") for config in configs] == ["amd64", "arm64"]
    for config in configs:
        assert config["created"] == "2026-01-02T03:04:05Z"
        assert config["config"] == {"Entrypoint": ["/modelflight-copy"], "User": "65532:65532"}
    models, commands = zip(*(manifest["layers"] for manifest in manifests), strict=True)
    assert models[0] == models[1]
    assert commands[0] != commands[1]
    assert {layer["mediaType"] for layer in (*models, *commands)} == {
        "application/vnd.oci.image.layer.v1.tar"
    }


def test_the_digest_is_the_one_of_every_other_version_and_machine(tmp_path: Path) -> None:
    # Changing this digest changes every image that was ever made: only on purpose, with a new major version.
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"abc")
    image = packed(tmp_path / "model", tmp_path / "layout")
    assert image.digest == "sha256:ebfcb4f299e3a899b003ffeac5f37a4974b202d38e05be735b5abcf227df845b"


# The leading letter keeps clear of `.`, `..` and whiteouts; every other character may be anything.
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), max_size=60).map(
    lambda name: f"f{name}"
)
FILES = st.dictionaries(NAMES, st.binary(max_size=1200), min_size=1, max_size=5)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@settings(deadline=None, max_examples=25)
@given(top=FILES, nested=FILES, seed=st.randoms(use_true_random=False))
def test_the_same_files_give_the_same_digest(
    top: dict[str, bytes], nested: dict[str, bytes], seed: random.Random
) -> None:
    files = [
        (folder, name, content)
        for folder, found in (("", top), ("sub/x", nested))
        for name, content in found.items()
    ]
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        for number, mask in enumerate((0o022, 0o077)):
            directory = Path(folder, f"model{number}")
            with umask(mask):
                seed.shuffle(files)
                for parent, name, content in files:
                    path = directory / parent / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                    path.chmod(seed.choice([0o600, 0o777, 0o444]))
                    os.utime(path, ns=(0, seed.randrange(1 << 60)))
                digests.add(packed(directory, Path(folder, f"layout{number}")).digest)
    assert len(digests) == 1


PACK = """
import os, sys
from pathlib import Path
from tests.tasks.oci.packing import packed
os.umask(0o077)
print(packed(*map(Path, sys.argv[1:])).digest)
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONHASHSEED": "1"},
        {"TZ": "Pacific/Kiritimati", "USER": "someone", "PYTHONHASHSEED": "2"},
    ],
)
def test_locale_time_zone_and_user_do_not_change_the_digest(
    model: Path, tmp_path: Path, spawn: Any, environment: dict[str, str]
) -> None:
    process = spawn(PACK, model, tmp_path / "other", **environment)
    output, errors = process.communicate()
    assert output.strip() == packed(model, tmp_path / "layout").digest, errors


def test_the_same_moment_in_another_time_zone_is_the_same(model: Path, tmp_path: Path) -> None:
    there = CREATED.astimezone(timezone(timedelta(hours=-7))) + timedelta(microseconds=3)
    assert packed(model, tmp_path / "a") == packed(model, tmp_path / "b", created=there)


@pytest.mark.parametrize(
    "changes",
    [
        {"annotations": {}},
        {"created": CREATED + timedelta(seconds=1)},
    ],
)
def test_another_argument_is_another_image(model: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert packed(model, tmp_path / "a").digest != packed(model, tmp_path / "b", **changes).digest


def test_packing_again_writes_nothing(model: Path, tmp_path: Path) -> None:
    first = packed(model, tmp_path / "layout")
    before = everything_in(tmp_path / "layout")
    assert packed(model, tmp_path / "layout") == first
    assert everything_in(tmp_path / "layout") == before


def test_a_second_tag_for_the_same_image_shares_its_blobs(
    model: Path, tmp_path: Path, verify: Verify
) -> None:
    first = packed(model, tmp_path / "layout", "v1")
    blobs = everything_in(tmp_path / "layout" / "blobs")
    second = packed(model, tmp_path / "layout", "v2")
    assert verify(tmp_path / "layout").tags == {"v1": first.digest, "v2": first.digest}
    assert (second.digest, second.size) == (first.digest, first.size)
    assert everything_in(tmp_path / "layout" / "blobs") == blobs


def test_a_tag_never_moves(model: Path, tmp_path: Path) -> None:
    first = packed(model, tmp_path / "layout")
    before = everything_in(tmp_path / "layout")
    (model / "model.joblib").write_bytes(b"another model")
    other = packed(model, tmp_path / "elsewhere")
    with pytest.raises(TagTaken) as refused:
        packed(model, tmp_path / "layout")
    assert first.digest in str(refused.value)
    assert other.digest in str(refused.value)
    assert everything_in(tmp_path / "layout") == before


def test_what_other_tools_wrote_into_index_json_survives(model: Path, tmp_path: Path) -> None:
    packed(model, tmp_path / "layout", "v1")
    path = tmp_path / "layout" / "index.json"
    listing = json.loads(path.read_bytes())
    listing["annotations"] = {"by": "another tool"}
    listing["manifests"][0]["x-own"] = {"kept": True}
    path.write_text(json.dumps(listing))
    packed(model, tmp_path / "layout", "v2")
    found = json.loads(path.read_bytes())
    assert found["annotations"] == listing["annotations"]
    assert found["manifests"][0] == listing["manifests"][0]
    assert len(found["manifests"]) == 2


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 1)])
def test_packing_again_repairs_blobs_that_are_missing_or_short(
    model: Path, tmp_path: Path, verify: Verify, damage: Callable[[Path], None]
) -> None:
    image = packed(model, tmp_path / "layout")
    for path in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        damage(path)
    assert packed(model, tmp_path / "layout") == image
    assert verify(tmp_path / "layout").tags == {"v1": image.digest}


@pytest.mark.parametrize("tag", ["", "-v1", ".v1", "v/1", "v 1", "vé", "v1\n", "v" * 129])
def test_refuses_a_tag_that_registries_would_not_take(model: Path, tmp_path: Path, tag: str) -> None:
    with pytest.raises(PackFailed, match="tag cannot be used"):
        packed(model, tmp_path / "layout", tag)
    assert not (tmp_path / "layout").exists()


def test_takes_the_longest_tag(model: Path, tmp_path: Path) -> None:
    assert packed(model, tmp_path / "layout", "v" * 128).tag == "v" * 128


@pytest.mark.parametrize("annotations", [{"title": "\udcff"}, {"\udcff": ""}])
def test_refuses_annotations_that_utf8_cannot_hold(
    model: Path, tmp_path: Path, annotations: dict[str, str]
) -> None:
    with pytest.raises(PackFailed, match="annotation"):
        packed(model, tmp_path / "layout", annotations=annotations)
    assert not (tmp_path / "layout").exists()


def test_refuses_a_time_without_time_zone(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        packed(model, tmp_path / "layout", created=CREATED.replace(tzinfo=None))


def test_refuses_a_bad_model_before_anything_is_written(model: Path, tmp_path: Path) -> None:
    (model / "sub" / ".wh.weights").touch()
    with pytest.raises(PackFailed, match="deletes"):
        packed(model, tmp_path / "layout")
    assert not (tmp_path / "layout").exists()


def test_reads_the_annotations_of_an_index(model: Path, tmp_path: Path) -> None:
    digest = packed(model, tmp_path / "layout").digest
    created = {"org.opencontainers.image.created": "2026-01-02T03:04:05Z"}
    assert index_annotations(LayoutImages(tmp_path / "layout"), digest) == {**ANNOTATIONS, **created}


def test_an_index_that_the_layout_does_not_list_has_no_annotations(model: Path, tmp_path: Path) -> None:
    unknown = Digest("sha256:" + "0" * 64)
    assert index_annotations(LayoutImages(tmp_path / "layout"), unknown) is None
    packed(model, tmp_path / "layout")
    assert index_annotations(LayoutImages(tmp_path / "layout"), unknown) is None


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda path: os.truncate(path, 1)])
def test_an_index_that_is_not_what_its_digest_says_is_reported(
    model: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    digest = packed(model, tmp_path / "layout").digest
    damage(blob := tmp_path / "layout" / "blobs" / "sha256" / digest.removeprefix("sha256:"))
    with pytest.raises(ImageCorrupt) as reported:
        index_annotations(LayoutImages(tmp_path / "layout"), digest)
    assert reported.value.where == str(blob)


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"manifests":[1]}', b"\xff"])
def test_a_damaged_index_json_is_reported_and_left_alone(model: Path, tmp_path: Path, content: bytes) -> None:
    digest = packed(model, tmp_path / "layout").digest
    path = tmp_path / "layout" / "index.json"
    path.write_bytes(content)
    with pytest.raises(ImageCorrupt, match=r"index\.json"):
        index_annotations(LayoutImages(tmp_path / "layout"), digest)
    with pytest.raises(ImageCorrupt, match=r"index\.json"):
        packed(model, tmp_path / "layout")
    assert path.read_bytes() == content


def test_a_malformed_entry_is_reported(model: Path, tmp_path: Path) -> None:
    digest = packed(model, tmp_path / "layout").digest
    path = tmp_path / "layout" / "index.json"
    path.write_text(path.read_text().replace('"size":', '"length":'))
    with pytest.raises(ImageCorrupt, match="no descriptor"):
        index_annotations(LayoutImages(tmp_path / "layout"), digest)

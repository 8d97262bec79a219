"""What is attached to an image in a registry, with the referrers API and by the tag that stands in for it."""

import json
from pathlib import Path

import pytest

from tasks.errors import ImageCorrupt, PackFailed, RegistryUnreachable
from tasks.oci.images import Images, open_images
from tasks.oci.referrer import attach, referrers
from tasks.release import Digest
from tests.fakes.registry import Registry
from tests.tasks.oci.packing import packed_into

VERDICT = "application/vnd.modelflight.verdict.v1"


@pytest.fixture(params=[True, False], ids=["referrers API", "tag schema"])
def either(request: pytest.FixtureRequest, registry: Registry) -> Registry:
    registry.referrers_api = request.param
    return registry


@pytest.fixture
def images(either: Registry):
    with open_images(f"{either.address}/models/wine") as found:
        yield found


@pytest.fixture
def subject(images: Images, model: Path) -> Digest:
    return packed_into(images, model).digest


def attached(images: Images, subject: Digest, payload: bytes, artifact_type: str = VERDICT) -> Digest:
    return attach(
        images,
        subject,
        artifact_type=artifact_type,
        media_type="application/json",
        payload=payload,
        annotations={"dev.modelflight.release": "wine-1"},
    )


def test_payloads_come_back_by_type_and_image(images: Images, subject: Digest, model: Path) -> None:
    other = packed_into(images, model, "v2", annotations={}).digest
    for payload in (b"z", b"a", b"", b"m" * 100_000):
        attached(images, subject, payload)
    attached(images, other, b"other image")
    attached(images, subject, b"other type", "application/vnd.in-toto+json")
    assert referrers(images, subject, VERDICT) == [b"z", b"a", b"", b"m" * 100_000]
    assert referrers(images, other, VERDICT) == [b"other image"]


def test_attaching_the_same_again_changes_nothing(images: Images, subject: Digest, either: Registry) -> None:
    first = attached(images, subject, b"one")
    wine = either.repositories["models/wine"]
    before = (dict(wine.blobs), dict(wine.manifests), dict(wine.tags))
    assert attached(images, subject, b"one") == first
    assert (wine.blobs, wine.manifests, wine.tags) == before
    assert referrers(images, subject, VERDICT) == [b"one"]


def test_many_are_found_on_all_pages(images: Images, subject: Digest, either: Registry) -> None:
    either.page = 2
    payloads = [f"{number}".encode() for number in range(5)]
    for payload in payloads:
        attached(images, subject, payload)
    assert referrers(images, subject, VERDICT) == payloads


def test_an_image_without_referrers_has_none(images: Images, subject: Digest) -> None:
    assert referrers(images, subject, VERDICT) == []


def test_nothing_is_attached_to_an_image_that_is_not_there(images: Images, either: Registry) -> None:
    with pytest.raises(PackFailed, match="no such image"):
        attached(images, Digest("sha256:" + "0" * 64), b"x")
    assert either.writes == 0


def test_an_attachment_that_failed_on_the_way_is_completed_by_the_next(
    images: Images, subject: Digest, either: Registry
) -> None:
    before = either.writes
    attached(images, subject, b"whole")
    writes = either.writes - before
    for number in range(1, writes + 1):
        either.writes, either.fail_at = 0, number
        payload = f"{number}".encode()
        try:
            attached(images, subject, payload)
        except RegistryUnreachable:
            either.fail_at = None
            attached(images, subject, payload)
        either.fail_at = None
        assert payload in referrers(images, subject, VERDICT)


@pytest.mark.parametrize("either", [False], indirect=True)
def test_the_tag_lists_what_the_specification_asks_for(
    images: Images, subject: Digest, either: Registry
) -> None:
    digest = attached(images, subject, b"one")
    wine = either.repositories["models/wine"]
    media_type, index = wine.manifests[wine.tags[subject.replace(":", "-")]]
    assert media_type == "application/vnd.oci.image.index.v1+json"
    assert json.loads(index)["manifests"] == [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": len(wine.manifests[digest][1]),
            "artifactType": VERDICT,
            "annotations": {"dev.modelflight.release": "wine-1"},
        }
    ]


@pytest.mark.parametrize("either", [False], indirect=True)
def test_two_who_attach_at_once_do_not_take_each_others_place_unnoticed(
    images: Images, subject: Digest, either: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached(images, subject, b"first")
    wine = either.repositories["models/wine"]
    tag = subject.replace(":", "-")
    theirs = wine.tags[tag]

    class Contested(dict):
        def __setitem__(self, key: str, value: str) -> None:
            super().__setitem__(key, theirs if key == tag else value)

    monkeypatch.setattr(wine, "tags", Contested(wine.tags))
    with pytest.raises(RegistryUnreachable, match="at the same time"):
        attached(images, subject, b"second")
    monkeypatch.undo()
    attached(images, subject, b"second")
    assert referrers(images, subject, VERDICT) == [b"first", b"second"]


@pytest.mark.parametrize("either", [False], indirect=True)
@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"manifests": [1]}'])
def test_a_damaged_list_is_told_and_left_alone(
    images: Images, subject: Digest, either: Registry, content: bytes
) -> None:
    attached(images, subject, b"one")
    wine = either.repositories["models/wine"]
    listed = wine.tags[subject.replace(":", "-")]
    wine.manifests[listed] = (wine.manifests[listed][0], content)
    with pytest.raises(ImageCorrupt):
        referrers(images, subject, VERDICT)
    with pytest.raises(ImageCorrupt):
        attached(images, subject, b"two")
    assert wine.manifests[listed][1] == content


def test_a_payload_that_is_not_what_its_digest_says_is_told(
    images: Images, subject: Digest, either: Registry
) -> None:
    attached(images, subject, b"one")
    either.altered = True
    with pytest.raises(ImageCorrupt):
        referrers(images, subject, VERDICT)
    either.altered = False
    del either.repositories["models/wine"].blobs[
        "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    ]
    with pytest.raises(ImageCorrupt, match="nothing under this name"):
        referrers(images, subject, VERDICT)

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ImageCorrupt, PackFailed
from tasks.oci.layout_images import LayoutImages
from tasks.oci.referrer import attach, referrers
from tasks.release import Digest
from tests.tasks.oci.packing import packed

VERDICT = "application/vnd.modelflight.verdict.v1"
Verify = Callable[[Path], Any]


def attached(layout: Path, subject: Digest, payload: bytes, artifact_type: str = VERDICT) -> Digest:
    return attach(
        LayoutImages(layout),
        subject,
        artifact_type=artifact_type,
        media_type="application/json",
        payload=payload,
        annotations={"dev.modelflight.release": "wine-1"},
    )


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def subject(model: Path, layout: Path) -> Digest:
    return packed(model, layout).digest


def test_a_referrer_is_listed_without_a_tag_and_points_at_the_image(
    layout: Path, subject: Digest, verify: Verify
) -> None:
    digest = attached(layout, subject, b'{"verdict":"promoted"}')
    found = verify(layout)
    assert found.tags == {"v1": subject}
    assert [(entry["digest"], entry["artifactType"]) for entry in found.untagged] == [(digest, VERDICT)]
    manifest = found.document(found.untagged[0])
    index = json.loads((layout / "index.json").read_bytes())["manifests"][0]
    del index["annotations"]
    assert manifest["subject"] == index
    assert manifest["artifactType"] == VERDICT
    assert manifest["annotations"] == {"dev.modelflight.release": "wine-1"}
    assert manifest["layers"][0]["mediaType"] == "application/json"


def test_attaching_the_same_again_changes_nothing(layout: Path, subject: Digest) -> None:
    first = attached(layout, subject, b"one")
    before = (layout / "index.json").stat()
    assert attached(layout, subject, b"one") == first
    after = (layout / "index.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert referrers(LayoutImages(layout), subject, VERDICT) == [b"one"]


def test_payloads_come_back_in_the_order_in_which_they_were_attached(layout: Path, subject: Digest) -> None:
    payloads = [b"z", b"a", b"", b"m" * 100_000]
    for payload in payloads:
        attached(layout, subject, payload)
    attached(layout, subject, b"a")
    assert referrers(LayoutImages(layout), subject, VERDICT) == payloads


def test_only_the_asked_type_of_the_asked_image_comes_back(
    model: Path, layout: Path, subject: Digest
) -> None:
    other = packed(model, layout, "v2", annotations={"other": "image"}).digest
    attached(layout, subject, b"mine")
    attached(layout, other, b"other image")
    attached(layout, subject, b"other type", "application/vnd.in-toto+json")
    assert referrers(LayoutImages(layout), subject, VERDICT) == [b"mine"]
    assert referrers(LayoutImages(layout), other, VERDICT) == [b"other image"]


def test_an_image_without_referrers_and_a_missing_layout_have_none(
    layout: Path, subject: Digest, tmp_path: Path
) -> None:
    assert referrers(LayoutImages(layout), subject, VERDICT) == []
    assert referrers(LayoutImages(tmp_path / "nowhere"), subject, VERDICT) == []


def test_nothing_is_attached_to_an_image_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PackFailed, match="no such image"):
        attached(tmp_path / "nowhere", Digest("sha256:" + "0" * 64), b"x")
    assert not (tmp_path / "nowhere").exists()


def test_annotations_that_utf8_cannot_hold_are_refused(layout: Path, subject: Digest) -> None:
    with pytest.raises(PackFailed, match="annotation"):
        attach(
            LayoutImages(layout),
            subject,
            artifact_type=VERDICT,
            media_type="a/b",
            payload=b"",
            annotations={"a": "\ud800"},
        )
    assert referrers(LayoutImages(layout), subject, VERDICT) == []


@pytest.mark.parametrize("damaged", ["manifest", "payload"])
@pytest.mark.parametrize("content", [None, b'{"verdict":"rolled_bacK"}', b""])
def test_a_payload_or_manifest_that_is_not_what_its_digest_says_is_reported(
    layout: Path, subject: Digest, verify: Verify, damaged: str, content: bytes | None
) -> None:
    digest = attached(layout, subject, b'{"verdict":"rolled_back"}')
    manifest = verify(layout).document(verify(layout).untagged[0])
    path = blob(layout, digest if damaged == "manifest" else manifest["layers"][0]["digest"])
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(ImageCorrupt) as reported:
        referrers(LayoutImages(layout), subject, VERDICT)
    assert reported.value.where == str(path)


def test_a_malformed_entry_is_reported(layout: Path, subject: Digest) -> None:
    digest = attached(layout, subject, b"x")
    index = layout / "index.json"
    index.write_text(index.read_text().replace(digest, "sha256:short"))
    with pytest.raises(ImageCorrupt, match="sha256:short"):
        referrers(LayoutImages(layout), subject, VERDICT)


def test_attaches_to_a_layout_that_another_tool_wrote(layout: Path, subject: Digest, verify: Verify) -> None:
    (layout / ".incoming").rmdir()
    (layout / ".lock").unlink()
    attached(layout, subject, b"x")
    assert verify(layout).tags == {"v1": subject}
    assert referrers(LayoutImages(layout), subject, VERDICT) == [b"x"]

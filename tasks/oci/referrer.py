"""Referrers: small artifacts attached to a model image, such as its verdict (image-spec 1.1, `subject`)."""

from collections.abc import Mapping
from pathlib import Path

from tasks.errors import ImageCorrupt, PackFailed
from tasks.oci import manifest
from tasks.oci.descriptor import INDEX, MANIFEST, Blob, Descriptor
from tasks.oci.fault import readable, reported
from tasks.oci.layout import Layout
from tasks.oci.listing import with_referrer
from tasks.release import Digest


def attach(
    layout: Path,
    subject: Digest,
    *,
    artifact_type: str,
    media_type: str,
    payload: bytes,
    annotations: Mapping[str, str],
) -> Digest:
    """Attaches `payload` to the image index `subject`, and returns the digest of the referrer.

    Attaching the same again gives the same digest and changes nothing.

    Raises:
        PackFailed: the layout has no such image, or cannot be written.
        ImageCorrupt: the layout's `index.json` is damaged.
    """
    what = f"Nothing can be attached to the image {subject}."
    manifest.check_annotations(annotations)
    store = Layout(layout)
    with reported(PackFailed, what, layout):
        image = store.find(subject, INDEX)
        if image is None:
            raise PackFailed(
                what,
                readable(layout),
                "the layout has no such image",
                "Pack the image into this layout first.",
            )
        blobs = manifest.referrer(image, Blob(media_type, payload), artifact_type, annotations)
        added = blobs[-1].descriptor
        store.prepare()
        with store.locked():
            listed = store.entries()
            listing = with_referrer(listed, added, artifact_type)
            for blob in blobs:
                store.add(blob)
            if listing != listed:
                store.list_entries(listing)
    return added.digest


def referrers(layout: Path, subject: Digest, artifact_type: str) -> list[bytes]:
    """The payloads of this type that are attached to `subject`, in the order in which they were attached.

    Raises:
        ImageCorrupt: a referrer is missing or is not what its digest says, or the layout cannot be read.
    """
    what = f"What is attached to the image {subject} cannot be read."
    store = Layout(layout)
    with reported(ImageCorrupt, what, layout):
        try:
            found = [
                _payload(store, Descriptor.from_json(entry), subject)
                for entry in store.entries()
                if (entry.get("mediaType"), entry.get("artifactType")) == (MANIFEST, artifact_type)
            ]
        except ValueError as error:
            raise ImageCorrupt(what, readable(layout), str(error), "Restore the layout.") from error
    return [payload for payload in found if payload is not None]


def _payload(store: Layout, referrer: Descriptor, subject: Digest) -> bytes | None:
    """What the manifest `referrer` carries; None when it refers to another image."""
    match store.read_json(referrer):
        case {"subject": {"digest": digest}, "layers": [layer, *_]} if digest == subject:
            return store.read(Descriptor.from_json(layer))
    return None

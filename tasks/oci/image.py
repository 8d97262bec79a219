"""Model images in an OCI image layout: packing a model's files, reading what an image says about itself."""

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tasks.errors import ImageCorrupt, PackFailed
from tasks.oci import layer, manifest
from tasks.oci.descriptor import INDEX, LAYER, Descriptor
from tasks.oci.fault import readable, reported
from tasks.oci.incoming import Incoming
from tasks.oci.layout import Layout
from tasks.oci.listing import with_tag
from tasks.release import Digest

_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")  # distribution-spec 1.1, "Pulling manifests"


@dataclass(frozen=True)
class Packed:
    """A model image in a layout: its index's digest, the bytes of the index and all it reaches, its tag."""

    digest: Digest
    size: int
    tag: str


def pack(
    directory: Path, layout: Path, *, tag: str, annotations: Mapping[str, str], created: datetime
) -> Packed:
    """Packs the files below `directory` under `models/` of an image for linux/amd64 and linux/arm64.

    The same files and arguments give the same digest, and packing again changes nothing. The tag is written
    last; until then the layout offers what it offered before. The layout is made where it is missing.

    Args:
        directory: the model; regular files and folders only.
        layout: the OCI image layout folder, outside `directory`; it needs space for one copy of the model.
        tag: the image's name in the layout.
        annotations: set on the index and on both manifests.
        created: when the model was made; seconds count, in UTC.

    Raises:
        PackFailed: the model cannot be packed, or the layout cannot be written.
        TagTaken: the tag already names another digest.
        ImageCorrupt: the layout's `index.json` is damaged.
        ValueError: `created` has no time zone.
    """
    moment = manifest.rfc3339(created)
    _check(directory, layout, tag, annotations)
    entries = layer.scan(directory)
    store = Layout(layout)
    with reported(PackFailed, f"The model image {tag} cannot be written.", layout):
        store.prepare()
        with store.incoming() as incoming:
            content = _write_layer(incoming, directory, entries)
            image = manifest.image(content, annotations, moment)
            with store.locked():
                listed = store.entries()
                listing = with_tag(listed, tag, image.index, readable(layout))  # before any blob is visible
                store.add_written(incoming, content)
                for blob in image.blobs:
                    store.add(blob)
                if listing != listed:
                    store.list_entries(listing)
    return Packed(image.index.digest, image.size, tag)


def _check(directory: Path, layout: Path, tag: str, annotations: Mapping[str, str]) -> None:
    """Raises PackFailed for arguments that cannot be packed; looks at nothing but paths."""
    if not _TAG.fullmatch(tag):
        raise PackFailed(
            "The image's tag cannot be used.",
            readable(layout),
            f"it is {tag!a}",
            "Use up to 128 ASCII letters, digits, '_', '.' and '-'; the first is no '.' or '-'.",
        )
    if layout.resolve().is_relative_to(directory.resolve()):
        raise PackFailed(
            "A model image cannot be written into the model that it carries.",
            readable(layout),
            f"the layout lies in {readable(directory)}",
            "Name a layout outside the model's folder.",
        )
    manifest.check_annotations(annotations)


def _write_layer(incoming: Incoming, directory: Path, entries: list[layer.Entry]) -> Descriptor:
    with closing(layer.stream(directory, entries)) as pieces:
        for piece in pieces:
            incoming.write(piece)
    incoming.sync()
    return Descriptor(LAYER, incoming.digest, incoming.size)


def index_annotations(layout: Path, digest: Digest) -> dict[str, str] | None:
    """The annotations of the image index with this digest; None when the layout lists no such index.

    Raises:
        ImageCorrupt: the index is missing or is not what its digest says, or the layout cannot be read.
    """
    store = Layout(layout)
    with reported(ImageCorrupt, "The image's annotations cannot be read.", layout):
        found = store.find(digest, INDEX)
        return None if found is None else dict(store.read_json(found).get("annotations") or {})

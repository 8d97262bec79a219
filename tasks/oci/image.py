"""Model images: packing a model's files, reading what an image says about itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tasks.artifact import Artifact, Read
from tasks.errors import PackFailed
from tasks.oci import manifest
from tasks.oci.entry_point import entry_points
from tasks.oci.images import Images, read_json
from tasks.oci.layer import Layer, check_names
from tasks.release import Digest

_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")  # distribution-spec 1.1, "Pulling manifests"


@dataclass(frozen=True)
class Packed:
    """A stored model image: its index's digest, the bytes of the index and all it reaches, its tag."""

    digest: Digest
    size: int
    tag: str


def pack(
    artifact: Artifact,
    read: Read,
    images: Images,
    *,
    tag: str | None,
    annotations: Mapping[str, str],
    created: datetime,
) -> Packed:
    """Packs a model under `models/` of an image for linux/amd64 and linux/arm64, and stores it in `images`.

    The same files and arguments give the same digest, and packing again changes nothing. The tag is written
    last; until then `images` offer what they offered before.

    Args:
        artifact: the model's files.
        read: reads one of them.
        images: where the image goes.
        tag: the image's name there; without one, it is the beginning of its digest.
        annotations: set on the index and on both manifests.
        created: when the model was made; seconds count, in UTC.

    Raises:
        PackFailed: the model cannot be packed, or the image cannot be stored.
        TagTaken: the tag already names another digest.
        ImageCorrupt: what is stored there is damaged.
        ArtifactFailed, ArtifactsUnreachable: the model cannot be read.
        RegistryRefused, RegistryUnreachable: the image cannot be pushed.
        ValueError: `created` has no time zone.
    """
    moment = manifest.rfc3339(created)
    if tag is not None and not _TAG.fullmatch(tag):
        raise PackFailed(
            "The image's tag cannot be used.",
            images.address,
            f"it is {tag!a}",
            "Use up to 128 ASCII letters, digits, '_', '.' and '-'; the first is no '.' or '-'.",
        )
    manifest.check_annotations(annotations)
    check_names(artifact)
    commands = entry_points(artifact)
    image = images.write(
        Layer(artifact, read),
        lambda model: manifest.image(model, commands, annotations, moment, tag),
    )
    return Packed(image.index.digest, image.size, image.tag)


def index_annotations(images: Images, digest: Digest) -> dict[str, str] | None:
    """The annotations of the image index with this digest; None when there is no such index.

    Raises:
        ImageCorrupt: the index is not what its digest says, or cannot be read.
        RegistryRefused, RegistryUnreachable: the registry does not say.
    """
    found = images.find(digest)
    return None if found is None else dict(read_json(images, found).get("annotations") or {})

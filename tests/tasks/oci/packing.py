"""Packing folders into layouts, as the verbs do, for tests and the processes that they start."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.artifacts.reading import reading
from tasks.artifacts.scan import scan
from tasks.oci.image import Packed, pack
from tasks.oci.images import Images
from tasks.oci.layout_images import LayoutImages

CREATED = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
ANNOTATIONS = {"org.opencontainers.image.title": "wine größe", "dev.modelflight.release": "wine-1"}


def packed_into(images: Images, directory: Path, tag: str | None = "v1", **changes: Any) -> Packed:
    artifact = scan(directory)
    arguments = {"annotations": ANNOTATIONS, "created": CREATED, **changes}
    with reading(artifact) as read:
        return pack(artifact, read, images, tag=tag, **arguments)


def packed(directory: Path, layout: Path, tag: str | None = "v1", **changes: Any) -> Packed:
    return packed_into(LayoutImages(layout), directory, tag, **changes)

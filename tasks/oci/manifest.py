"""The JSON documents of a model image, computed from what they describe; nothing is read or written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.errors import PackFailed
from tasks.oci.descriptor import CONFIG, EMPTY, INDEX, MANIFEST, Blob, Descriptor

ARCHITECTURES = ("amd64", "arm64")
CREATED = "org.opencontainers.image.created"

_EMPTY_CONFIG = Blob(EMPTY, b"{}")


def rfc3339(moment: datetime) -> str:
    """`moment` in UTC, to the second, as `2026-01-31T12:00:00Z`.

    Raises:
        ValueError: `moment` has no time zone, so that its text would depend on the machine.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def check_annotations(annotations: Mapping[str, str]) -> None:
    """Raises PackFailed for an annotation that UTF-8 cannot hold (bytes that Git could not decode)."""
    for key, value in annotations.items():
        try:
            f"{key}{value}".encode()
        except UnicodeEncodeError as error:
            raise PackFailed(
                "An annotation cannot be written.",
                ascii(key),
                f"it is not valid Unicode: {value!a}",
                "Correct the text where it comes from.",
            ) from error


@dataclass(frozen=True)
class Image:
    """A model image around its layer: `blobs` in the order in which they must be stored, the index last."""

    layer: Descriptor
    blobs: tuple[Blob, ...]

    @property
    def index(self) -> Descriptor:
        """The descriptor of the image index."""
        return self.blobs[-1].descriptor

    @property
    def size(self) -> int:
        """Bytes of the index and of all that it reaches; the shared layer counts once."""
        return self.layer.size + sum(blob.descriptor.size for blob in self.blobs)


def image(layer: Descriptor, annotations: Mapping[str, str], created: str) -> Image:
    """The image index over one manifest an architecture, all of which share `layer` (an uncompressed tar).

    `created` is in RFC 3339; it also becomes the annotation `org.opencontainers.image.created`.
    """
    annotations = {**annotations, CREATED: created}
    configs = [_config(architecture, layer, created) for architecture in ARCHITECTURES]
    manifests = [_manifest(config, layer, annotations) for config in configs]
    return Image(layer, (*configs, *manifests, _index(manifests, annotations)))


def _config(architecture: str, layer: Descriptor, created: str) -> Blob:
    """An image configuration; the layer is not compressed, so its diff id is its digest (config.md)."""
    return Blob.of_json(
        CONFIG,
        {
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
            "history": [{"created": created, "created_by": "modelflight pack"}],
        },
    )


def _manifest(config: Blob, layer: Descriptor, annotations: Mapping[str, str]) -> Blob:
    return Blob.of_json(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor.as_json(),
            "layers": [layer.as_json()],
            "annotations": annotations,
        },
    )


def _index(manifests: list[Blob], annotations: Mapping[str, str]) -> Blob:
    platforms = [{"architecture": architecture, "os": "linux"} for architecture in ARCHITECTURES]
    return Blob.of_json(
        INDEX,
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [
                manifest.descriptor.as_json(platform=platform)
                for manifest, platform in zip(manifests, platforms, strict=True)
            ],
            "annotations": annotations,
        },
    )


def referrer(
    subject: Descriptor, payload: Blob, artifact_type: str, annotations: Mapping[str, str]
) -> tuple[Blob, ...]:
    """An artifact that refers to `subject`: its blobs in storing order, the manifest last.

    The shape is the one of image-spec 1.1, manifest.md, "Guidelines for Artifact Usage".
    """
    manifest = Blob.of_json(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": _EMPTY_CONFIG.descriptor.as_json(),
            "layers": [payload.descriptor.as_json()],
            "subject": subject.as_json(),
            "annotations": dict(annotations),
        },
    )
    return (_EMPTY_CONFIG, payload, manifest)

"""The JSON documents of a model image, computed from what they describe; nothing is read or written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.errors import PackFailed
from tasks.oci.descriptor import CONFIG, EMPTY, INDEX, MANIFEST, Blob, Descriptor
from tasks.oci.entry_point import ENTRY_POINT

CREATED = "org.opencontainers.image.created"

_NOBODY = "65532:65532"  # no user of any system, so that nothing of the container's needs a name
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
    """A model image around the layer with the model.

    `blobs` are in the order in which they must be stored, the index last; `tag` is to name it.
    """

    layer: Descriptor
    blobs: tuple[Blob, ...]
    tag: str

    @property
    def index(self) -> Descriptor:
        """The descriptor of the image index."""
        return self.blobs[-1].descriptor

    @property
    def size(self) -> int:
        """Bytes of the index and of all that it reaches; the shared layer counts once."""
        return self.layer.size + sum(blob.descriptor.size for blob in self.blobs)


def image(
    model: Descriptor,
    commands: Mapping[str, Blob],
    annotations: Mapping[str, str],
    created: str,
    tag: str | None,
) -> Image:
    """The image index over one manifest an architecture, all of which share the layer `model`.

    Both kinds of layers are uncompressed tars. `commands` has the layer with the entry point for each
    architecture. `created` is in RFC 3339; it also becomes the annotation `org.opencontainers.image.created`.
    Without a `tag`, the image is named after its digest.
    """
    annotations = {**annotations, CREATED: created}
    # The model comes first: what a node has unpacked of it serves every image with this model.
    layers = {architecture: (model, command.descriptor) for architecture, command in commands.items()}
    configs = [_config(architecture, layers[architecture], created) for architecture in commands]
    manifests = [
        _manifest(config, layers[architecture], annotations)
        for architecture, config in zip(commands, configs, strict=True)
    ]
    index = _index(dict(zip(commands, manifests, strict=True)), annotations)
    name = tag or index.descriptor.digest.removeprefix("sha256:")[:12]
    return Image(model, (*commands.values(), *configs, *manifests, index), name)


def _config(architecture: str, layers: Sequence[Descriptor], created: str) -> Blob:
    """An image configuration; layers are not compressed, so their digests are their diff ids (config.md)."""
    return Blob.of_json(
        CONFIG,
        {
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": {"Entrypoint": [f"/{ENTRY_POINT}"], "User": _NOBODY},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
            "history": [{"created": created, "created_by": "modelflight pack"} for _ in layers],
        },
    )


def _manifest(config: Blob, layers: Sequence[Descriptor], annotations: Mapping[str, str]) -> Blob:
    return Blob.of_json(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor.as_json(),
            "layers": [layer.as_json() for layer in layers],
            "annotations": annotations,
        },
    )


def _index(manifests: Mapping[str, Blob], annotations: Mapping[str, str]) -> Blob:
    return Blob.of_json(
        INDEX,
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [
                manifest.descriptor.as_json(platform={"architecture": architecture, "os": "linux"})
                for architecture, manifest in manifests.items()
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

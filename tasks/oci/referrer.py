"""Referrers: small artifacts attached to a model image, such as its verdict (image-spec 1.1, `subject`)."""

from collections.abc import Mapping

from tasks.errors import ImageCorrupt, PackFailed
from tasks.oci import manifest
from tasks.oci.descriptor import Blob, Descriptor
from tasks.oci.images import Images, read_json
from tasks.release import Digest


def attach(
    images: Images,
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
        PackFailed: there is no such image, or nothing can be written there.
        ImageCorrupt: what is stored there is damaged.
        RegistryRefused, RegistryUnreachable: the referrer cannot be pushed.
    """
    manifest.check_annotations(annotations)
    image = images.find(subject)
    if image is None:
        raise PackFailed(
            f"Nothing can be attached to the image {subject}.",
            images.address,
            "there is no such image",
            "Pack the image first, and store it there.",
        )
    blobs = manifest.referrer(image, Blob(media_type, payload), artifact_type, annotations)
    images.attach(image, blobs)
    return blobs[-1].descriptor.digest


def referrers(images: Images, subject: Digest, artifact_type: str) -> list[bytes]:
    """The payloads of this type that are attached to `subject`; a layout has them in the order of attaching.

    Raises:
        ImageCorrupt: a referrer is missing or is not what its digest says, or cannot be read.
        RegistryRefused, RegistryUnreachable: the registry does not say.
    """
    listed = images.referrers(subject, artifact_type)
    found = [_payload(images, referrer, subject) for referrer in listed]
    return [payload for payload in found if payload is not None]


def _payload(images: Images, referrer: Descriptor, subject: Digest) -> bytes | None:
    """What the manifest `referrer` carries; None when it refers to another image."""
    match read_json(images, referrer):
        case {"subject": {"digest": digest}, "layers": [layer, *_]} if digest == subject:
            try:
                return images.read(Descriptor.from_json(layer))
            except ValueError as error:
                where = f"{images.address}, {referrer.digest}"
                raise ImageCorrupt(
                    "What is attached to an image cannot be read.", where, str(error)
                ) from error
    return None

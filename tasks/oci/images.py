"""Where model images are stored: an OCI layout folder, or a repository in a registry."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tasks.errors import AddressInvalid, ImageCorrupt
from tasks.oci.descriptor import Blob, Descriptor, json_object
from tasks.oci.layer import Layer
from tasks.oci.layout_images import LayoutImages
from tasks.oci.manifest import Image
from tasks.oci.reference import parse_repository
from tasks.oci.registry_images import open_registry
from tasks.release import Digest

_LAYOUT = "oci:"


class Images(Protocol):
    """The images of one repository, and what is attached to them.

    Methods raise PackFailed where a layout cannot be written, ImageCorrupt for content that is not what its
    digest says, and RegistryRefused or RegistryUnreachable.
    """

    @property
    def address(self) -> str:
        """Where they are, `oci:FOLDER` or `registry/repository`."""

    def check(self) -> None:
        """Raises unless images can be written here; leaves nothing behind."""

    def write(self, layer: Layer, around: Callable[[Descriptor], Image]) -> Image:
        """Stores the image that `around` makes of the layer's descriptor, the tag last; raises TagTaken."""

    def find(self, digest: Digest) -> Descriptor | None:
        """The descriptor of the image index with this digest; None where there is none."""

    def read(self, descriptor: Descriptor) -> bytes:
        """The content of a manifest or another small blob, checked against its size and digest."""

    def stream(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content of a large blob in pieces, as it is stored: nothing is checked."""

    def attach(self, subject: Descriptor, blobs: Sequence[Blob]) -> None:
        """Stores the blobs of a referrer to `subject`, its manifest last, and lists it."""

    def referrers(self, subject: Digest, artifact_type: str) -> list[Descriptor]:
        """The manifests of this type that are attached to `subject`; a layout has them in their order."""


@contextmanager
def open_images(address: str) -> Iterator[Images]:
    """The images at `address`, which is `oci:FOLDER` or `registry/repository`.

    Raises:
        AddressInvalid: it is neither.
        RegistryRefused, RegistryUnreachable: there is no way to the registry.
    """
    if address == _LAYOUT:
        raise AddressInvalid("The image layout has no name.", where=address, next_step="Write oci:FOLDER.")
    if address.startswith(_LAYOUT):
        yield LayoutImages(Path(address.removeprefix(_LAYOUT)))
    else:
        with open_registry(parse_repository(address)) as images:
            yield images


def read_json(images: Images, descriptor: Descriptor) -> dict[str, Any]:
    """The JSON object in a manifest or another small blob of `images`.

    Raises:
        ImageCorrupt: it is missing, is not what its digest says, or holds something else.
    """
    content = images.read(descriptor)
    try:
        return json_object(content)
    except ValueError as error:
        where = f"{images.address}, {descriptor.digest}"
        raise ImageCorrupt("A part of an image cannot be read.", where, str(error)) from error


def split_tag(target: str) -> tuple[str, str | None]:
    """`oci:FOLDER[:TAG]` or `registry/repository[:TAG]` as an address and a tag."""
    begin = len(_LAYOUT) if target.startswith(_LAYOUT) else 0
    address, colon, tag = target[begin:].rpartition(":")
    if not colon or "/" in tag:  # that colon is part of the folder, or stands before the port
        return target, None
    return target[:begin] + address, tag

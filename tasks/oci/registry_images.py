"""Model images in a repository of a registry."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.errors import ImageCorrupt, RegistryUnreachable, TagTaken
from tasks.oci.connection import connect
from tasks.oci.descriptor import INDEX, MANIFEST, Blob, Descriptor
from tasks.oci.layer import Layer
from tasks.oci.listing import Entry, of_type, with_referrer
from tasks.oci.manifest import Image
from tasks.oci.reference import Repository
from tasks.oci.registry import Registry
from tasks.release import Digest


@contextmanager
def open_registry(repository: Repository) -> Iterator["RegistryImages"]:
    """The images of `repository`; see `connect` for the errors."""
    with connect(repository) as connection:
        yield RegistryImages(Registry(connection))


@dataclass(frozen=True)
class RegistryImages:
    """The images of the repository that `registry` speaks with. See `Images`."""

    registry: Registry

    @property
    def address(self) -> str:
        """See `Images`."""
        return self.registry.address

    def check(self) -> None:
        """See `Images`."""
        self.registry.check_upload()

    def write(self, layer: Layer, around: Callable[[Descriptor], Image]) -> Image:
        """See `Images`; the layer is read once to be named, and once more where the registry has it not."""
        content = layer.descriptor()
        image = around(content)
        if not self._is_tagged(image):
            if not self.registry.has_blob(content.digest):
                self.registry.upload(content, layer.stream())
            for blob in image.blobs:
                self._add(blob)
            self.registry.put_manifest(image.blobs[-1], image.tag)
        return image

    def _is_tagged(self, image: Image) -> bool:
        """Whether the tag names the image already, and so everything is there."""
        found = self.registry.manifest(image.tag)
        if found is None:
            return False
        if (digest := _digest(found)) != image.index.digest:
            raise TagTaken(
                f"Tag {image.tag} already names another image.",
                self.address,
                f"it names {digest}, and this image is {image.index.digest}",
                "Tags never move: take another tag, or release with the next --attempt.",
            )
        return True

    def _add(self, blob: Blob) -> bool:
        """Stores a blob or manifest; tells whether the registry has listed it as a referrer."""
        if blob.media_type in (INDEX, MANIFEST):
            return self.registry.put_manifest(blob, blob.descriptor.digest)
        if not self.registry.has_blob(blob.descriptor.digest):
            self.registry.upload(blob.descriptor, [blob.content])
        return False

    def find(self, digest: Digest) -> Descriptor | None:
        """See `Images`."""
        content = self.registry.manifest(digest)
        if content is None:
            return None
        found = Descriptor(INDEX, digest, len(content))
        self._checked(found, content)
        return found

    def read(self, descriptor: Descriptor) -> bytes:
        """See `Images`."""
        is_manifest = descriptor.media_type in (INDEX, MANIFEST)
        found = (self.registry.manifest if is_manifest else self.registry.blob)(descriptor.digest)
        return self._checked(descriptor, found)

    def stream(self, descriptor: Descriptor) -> Iterator[bytes]:
        """See `Images`."""
        return self.registry.stream(descriptor.digest)

    def _checked(self, descriptor: Descriptor, content: bytes | None) -> bytes:
        if content is not None and (len(content), _digest(content)) == (descriptor.size, descriptor.digest):
            return content
        found = "nothing" if content is None else f"{len(content)} bytes with the digest {_digest(content)}"
        raise ImageCorrupt(
            "A part of an image is damaged or missing in the registry.",
            f"{self.address}, {descriptor.digest}",
            f"the registry has {found} under this name",
            "Restore it, or release with the next --attempt.",
        )

    def attach(self, subject: Descriptor, blobs: Sequence[Blob]) -> None:
        """See `Images`; the registry lists the referrer by itself, or an index under a tag does."""
        is_listed = [self._add(blob) for blob in blobs][-1]
        if not is_listed:
            self._list_by_tag(subject.digest, blobs[-1])

    def _list_by_tag(self, subject: Digest, referrer: Blob) -> None:
        """Distribution-spec 1.1, "Unavailable Referrers API"."""
        listed = self._tagged_referrers(subject)
        listing = with_referrer(listed, referrer)
        if listing == listed:
            return
        index = Blob.of_json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": listing})
        self.registry.put_manifest(index, _referrers_tag(subject))
        # A tag can be written over; two who attach at once find out only by looking.
        if referrer.descriptor.digest not in {
            entry.get("digest") for entry in self._tagged_referrers(subject)
        }:
            raise RegistryUnreachable(
                "What was attached to the image is not listed.",
                f"{self.address}:{_referrers_tag(subject)}",
                "somebody else attached something at the same time",
                "Run this again.",
            )

    def referrers(self, subject: Digest, artifact_type: str) -> list[Descriptor]:
        """See `Images`; in the order in which the registry lists them."""
        entries = self.registry.referrers(subject, artifact_type)
        if entries is None:
            entries = self._tagged_referrers(subject)
        try:
            return of_type(entries, artifact_type)
        except ValueError as error:
            what = "What is attached to an image cannot be read."
            raise ImageCorrupt(what, f"{self.address}, {subject}", str(error), "Restore the list.") from error

    def _tagged_referrers(self, subject: Digest) -> list[Entry]:
        index = self.registry.manifest(_referrers_tag(subject))
        return [] if index is None else self.registry.entries(index)


def _referrers_tag(subject: Digest) -> str:
    """Distribution-spec 1.1, "Referrers Tag Schema"."""
    return subject.replace(":", "-")


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"

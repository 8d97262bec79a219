"""Model images in an OCI image layout folder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import ImageCorrupt, PackFailed
from tasks.fault import readable, reported
from tasks.files import check_writable
from tasks.oci.descriptor import INDEX, LAYER, Blob, Descriptor
from tasks.oci.incoming import Incoming
from tasks.oci.layer import Layer
from tasks.oci.layout import Layout
from tasks.oci.listing import of_type, with_referrer, with_tag
from tasks.oci.manifest import Image
from tasks.release import Digest

_READ = "The image layout cannot be read."
_WRITE = "The model image cannot be written."


@dataclass(frozen=True)
class LayoutImages:
    """The images of the layout at `root`, which is made where it is missing. See `Images`."""

    root: Path

    @property
    def address(self) -> str:
        """See `Images`."""
        return f"oci:{self.root}"

    @property
    def _layout(self) -> Layout:
        return Layout(self.root)

    def check(self) -> None:
        """See `Images`."""
        with reported(PackFailed, "Model images cannot be written to this layout.", self.root):
            check_writable(self.root)

    def write(self, layer: Layer, around: Callable[[Descriptor], Image]) -> Image:
        """See `Images`; needs space for a copy of the layer, and shows no blob before the tag is free."""
        with reported(PackFailed, _WRITE, self.root):
            self._layout.prepare()
            with self._layout.incoming() as incoming:
                content = _write_layer(incoming, layer)
                image = around(content)
                with self._layout.locked():
                    listed = self._layout.entries()
                    listing = with_tag(listed, image.tag, image.index, readable(self.root))
                    self._layout.add_written(incoming, content)
                    for blob in image.blobs:
                        self._layout.add(blob)
                    if listing != listed:
                        self._layout.list_entries(listing)
        return image

    def find(self, digest: Digest) -> Descriptor | None:
        """See `Images`."""
        with reported(ImageCorrupt, _READ, self.root):
            return self._layout.find(digest, INDEX)

    def read(self, descriptor: Descriptor) -> bytes:
        """See `Images`."""
        with reported(ImageCorrupt, _READ, self.root):
            return self._layout.read(descriptor)

    def stream(self, descriptor: Descriptor) -> Iterator[bytes]:
        """See `Images`."""
        with reported(ImageCorrupt, _READ, self.root):
            yield from self._layout.stream(descriptor)

    def attach(self, subject: Descriptor, blobs: Sequence[Blob]) -> None:
        """See `Images`; the referrer's manifest names its subject, so that the layout need not."""
        with reported(PackFailed, "Nothing can be attached to an image of this layout.", self.root):
            self._layout.prepare()
            with self._layout.locked():
                listed = self._layout.entries()
                listing = with_referrer(listed, blobs[-1])
                for blob in blobs:
                    self._layout.add(blob)
                if listing != listed:
                    self._layout.list_entries(listing)

    def referrers(self, subject: Digest, artifact_type: str) -> list[Descriptor]:
        """See `Images`; those of other subjects too, as a layout lists them without their subjects."""
        with reported(ImageCorrupt, _READ, self.root):
            entries = self._layout.entries()
        try:
            return of_type(entries, artifact_type)
        except ValueError as error:
            raise ImageCorrupt(_READ, readable(self.root), str(error), "Restore the layout.") from error


def _write_layer(incoming: Incoming, layer: Layer) -> Descriptor:
    for piece in layer.stream():
        incoming.write(piece)
    incoming.sync()
    return Descriptor(LAYER, incoming.digest, incoming.size)

"""A model's files out of its image, back into a folder."""

import hashlib
import tarfile
from pathlib import Path

from tasks.errors import ImageCorrupt
from tasks.fault import reported
from tasks.oci.descriptor import Descriptor
from tasks.oci.images import Images, read_json
from tasks.oci.layer import ROOT

_WHAT = "The model cannot be taken out of its image."
_NEXT_STEP = "Restore the image, or take `evaluate` out of the gate."


def unpack(images: Images, index: Descriptor, folder: Path) -> None:
    """Writes the files of the model image `index` into `folder`, which is empty.

    The first layer has the model, and every architecture shares it (`tasks.oci.manifest.image`). Nothing is
    unpacked before all of it was read and found to be what its digest says.

    Raises:
        ImageCorrupt: the image is damaged, no model image, or does not fit on the disk.
        RegistryRefused, RegistryUnreachable: the registry does not give it.
    """
    where = f"{images.address}, {index.digest}"
    layer = _model_layer(images, index, where)
    packed = folder.with_name(f"{folder.name}.tar")
    with reported(ImageCorrupt, _WHAT, packed):
        sha256 = hashlib.sha256()
        with packed.open("wb") as file:
            for piece in images.stream(layer):
                sha256.update(piece)
                file.write(piece)
                if file.tell() > layer.size:
                    break  # its digest is wrong, however long it goes on
        if f"sha256:{sha256.hexdigest()}" != layer.digest:
            raise ImageCorrupt(
                _WHAT, where, f"its layer has the digest sha256:{sha256.hexdigest()}", _NEXT_STEP
            )
        try:
            with tarfile.open(packed) as archive:
                members = [
                    member.replace(name=member.name.removeprefix(f"{ROOT}/"), deep=False)
                    for member in archive
                    if member.name.startswith(f"{ROOT}/")
                ]
                archive.extractall(folder, members, filter="data")
        except tarfile.TarError as error:
            raise ImageCorrupt(_WHAT, where, str(error), _NEXT_STEP) from error
        packed.unlink()
    if not members:
        raise ImageCorrupt(_WHAT, where, f"its first layer has nothing in {ROOT}/", _NEXT_STEP)


def _model_layer(images: Images, index: Descriptor, where: str) -> Descriptor:
    try:
        manifest = Descriptor.from_json(read_json(images, index)["manifests"][0])
        return Descriptor.from_json(read_json(images, manifest)["layers"][0])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ImageCorrupt(_WHAT, where, f"it is no image with layers: {error!r:.200}", _NEXT_STEP) from error

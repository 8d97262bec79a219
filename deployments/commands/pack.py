"""The verb `pack`."""

from pathlib import Path
from typing import Any

import click

from deployments import console
from deployments.verb import verb
from flows.settings import Backends, Home
from tasks.errors import InvalidInput


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--to", metavar="TARGET", help="oci:FOLDER[:TAG] or registry/repository[:TAG].")
@click.option(
    "--image",
    metavar="REPOSITORY[:TAG]",
    help="As in modelflight.yaml; MODELFLIGHT_IMAGES says where it goes.",
)
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
@click.option(
    "--created", type=click.DateTime(), default="1970-01-01", help="Creation time in the image, UTC."
)
@verb
def pack(
    directory: Path,
    to: str | None,
    image: str | None,
    annotations: tuple[str, ...],
    created: Any,
    output: str,
) -> None:
    """Packs model files into an OCI image.

    The files are those in DIRECTORY; the same files give the same digest. Without a TAG, the image is named
    after its digest.
    """
    from datetime import UTC

    from tasks.artifacts.reading import reading
    from tasks.artifacts.scan import scan
    from tasks.oci.image import pack as pack_artifact
    from tasks.oci.images import open_images

    described = dict(_key_and_value(annotation) for annotation in annotations)
    address, tag = _pack_target(directory, to, image)
    artifact = scan(directory)
    with reading(artifact) as read, open_images(address) as images:
        packed = pack_artifact(
            artifact, read, images, tag=tag, annotations=described, created=created.replace(tzinfo=UTC)
        )
    said = f"{address}:{packed.tag}@{packed.digest}\n  {packed.size:,} bytes"
    console.emit({**console.plain(packed), "stored_in": address}, said, output)


def _pack_target(directory: Path, to: str | None, image: str | None) -> tuple[str, str | None]:
    """The address to pack to, and the tag where one was given."""
    from tasks.oci.images import split_tag
    from tasks.oci.reference import parse_repository

    if bool(to) == bool(image):
        raise InvalidInput(
            "Say where the image is to go.",
            where="--to, --image",
            why="Exactly one of them is needed.",
            next_step="Write --to oci:FOLDER:TAG or --to registry/repository:TAG, or name the image alone.",
        )
    address, tag = split_tag(to or image or "")
    if image:
        address = Backends.from_environment().images(str(parse_repository(address)), Home())
    layout = Path(address.removeprefix("oci:"))
    if address.startswith("oci:") and layout.resolve().is_relative_to(directory.resolve()):
        raise InvalidInput(
            "A model image cannot be written into the model that it carries.",
            where=address,
            why=f"The layout lies in {directory}.",
            next_step="Name a layout outside the model's folder.",
        )
    return address, tag


def _key_and_value(annotation: str) -> tuple[str, str]:
    key, equals, value = annotation.partition("=")
    if not key or not equals:
        raise InvalidInput(
            f"{annotation!r} is no annotation.", where="--annotation", next_step="Write KEY=VALUE."
        )
    return key, value

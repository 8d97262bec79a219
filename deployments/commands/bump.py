"""The verb `bump`."""

from pathlib import Path

import click

from deployments import console
from deployments.verb import verb
from tasks.errors import InvalidInput


@click.command()
@click.option("--repository", required=True, help="Fleet repository, without credentials.")
@click.option("--branch", default="main", show_default=True)
@click.option("--path", required=True, help="Folder or file that carries the image.")
@click.option("--image", required=True, help="Image repository, with a tag if wanted: registry/name[:tag].")
@click.option("--digest", required=True, help="Digest to deploy, sha256:...")
@click.option("--release-id", metavar="ID", help="Makes one commit for this id, however often repeated.")
@verb
def bump(
    repository: str, branch: str, path: str, image: str, digest: str, release_id: str | None, output: str
) -> None:
    """Bumps one digest in a fleet repository."""
    from tasks.address import check_address
    from tasks.gitops.bump import bump as bump_image
    from tasks.gitops.target import FleetTarget
    from tasks.release import Digest, ReleaseId

    check_address(repository, "--repository")
    if "://" not in repository and Path(repository).is_dir():
        repository = str(Path(repository).resolve())
    name, tag = image.rsplit(":", 1) if ":" in image.rpartition("/")[2] else (image, digest[7:19])
    try:
        wanted = Digest(digest)
        identifier = ReleaseId(release_id) if release_id else None
    except ValueError as error:
        raise InvalidInput(
            "An option has the wrong form.",
            where="--digest, --release-id",
            why=str(error),
            next_step="A digest is sha256: and 64 hex digits; an id is <model>-<commit, 12 hex>-<attempt>.",
        ) from None
    commit = bump_image(
        FleetTarget(repository, branch, path, name),
        image=f"{name}:{tag}@{wanted}",
        release_id=identifier,
        subject=f"Release {identifier or image}",
        trailers={"Model-Image-Digest": wanted},
    )
    said = f"{commit.commit} on {commit.branch}" + ("" if commit.created else " (was there already)")
    console.emit(console.plain(commit), f"{said}\n{commit.diff}", output)

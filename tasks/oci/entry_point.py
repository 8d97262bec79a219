"""The small layer of a model image that makes it run: the copy command, and the list that it copies by."""

from tasks.artifact import Artifact
from tasks.oci.copy_command import binary, listing
from tasks.oci.descriptor import LAYER, Blob
from tasks.oci.layer import archive

ENTRY_POINT = "modelflight-copy"
ARCHITECTURES = ("amd64", "arm64")


def entry_points(artifact: Artifact) -> dict[str, Blob]:
    """The layer for each architecture.

    Raises:
        PackFailed: the copy command is not installed, or a file's name is not for it.
    """
    listed = listing((file.path, file.sha256) for file in artifact.files)
    return {
        architecture: Blob(
            LAYER,
            archive([(ENTRY_POINT, binary(architecture), 0o755), (f"{ENTRY_POINT}.sha256", listed, 0o644)]),
        )
        for architecture in ARCHITECTURES
    }

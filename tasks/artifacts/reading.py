"""Reading artifacts, wherever they are stored, and nothing else than what was stored."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.artifact import Artifact, ArtifactFile, Read
from tasks.artifacts.objects import Objects, open_objects
from tasks.errors import ArtifactFailed
from tasks.fault import reported


@contextmanager
def reading(artifact: Artifact) -> Iterator[Read]:
    """Inside the block, the function that reads a file of `artifact` as a stream.

    The function raises ArtifactsUnreachable, and ArtifactFailed where the file is gone or changed: at once
    when the store can tell, else at the file's end.
    """
    with open_objects(artifact.address) as objects:
        yield lambda file: _verified(objects, artifact.address, file)


def write_files(artifact: Artifact, folder: Path) -> None:
    """Writes the artifact's files and folders into `folder`.

    Raises:
        ArtifactFailed: a file is gone, changed, or cannot be written.
        ArtifactsUnreachable: the store does not give it.
    """
    with reading(artifact) as read, reported(ArtifactFailed, "The model's files cannot be copied.", folder):
        for below in artifact.folders:
            (folder / below).mkdir(parents=True, exist_ok=True)
        for file in artifact.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as copied:
                copied.writelines(read(file))


def _verified(objects: Objects, address: str, file: ArtifactFile) -> Iterator[bytes]:
    """The file's content, never more than its size: whoever reads it has announced that already."""
    sha256, left = hashlib.sha256(), file.size
    for piece in objects.read(file.path, file.version):
        left -= len(piece)
        if left < 0:
            break
        sha256.update(piece)
        yield piece
    if left or sha256.hexdigest() != file.sha256:
        raise ArtifactFailed(
            "A file of the model changed after it was listed.",
            f"{address}/{file.path}",
            f"its content is no longer the {file.size} bytes with the sha256 {file.sha256}",
            "Run this again when nothing writes to the model's files any more.",
        )

"""A model's files as one tar layer, the same bytes wherever and by whomever it is made.

Rules of image-spec 1.1, layer.md; the order, owner, modes and times are fixed here because the
specification leaves them open.
"""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tasks.artifact import Artifact, ArtifactFile, Read
from tasks.errors import PackFailed
from tasks.oci.descriptor import LAYER, Descriptor
from tasks.release import Digest

ROOT = "models"

_END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class Layer:
    """The layer of `artifact`, whose files `read` reads; nothing is read before, or held in memory."""

    artifact: Artifact
    read: Read

    def stream(self) -> Iterator[bytes]:
        """The tar of the files under `models/`, sorted by the bytes of their paths; each file is read once.

        Raises:
            ArtifactFailed, ArtifactsUnreachable: a file cannot be read, or is not what was listed.
        """
        yield header(ROOT, None)
        for path, file in _entries(self.artifact):
            yield header(f"{ROOT}/{path}", file.size if file else None)
            if file:
                yield from self.read(file)
                yield padding(file.size)
        yield _END

    def descriptor(self) -> Descriptor:
        """The layer's descriptor, for which all of it is read.

        Raises:
            ArtifactFailed, ArtifactsUnreachable: see `stream`.
        """
        sha256, size = hashlib.sha256(), 0
        for piece in self.stream():
            sha256.update(piece)
            size += len(piece)
        return Descriptor(LAYER, Digest(f"sha256:{sha256.hexdigest()}"), size)


def check_names(artifact: Artifact) -> None:
    """Raises PackFailed for a name that means something else in a layer (layer.md, "Whiteouts")."""
    for path, _ in _entries(artifact):
        if path.rpartition("/")[2].startswith(".wh."):
            raise PackFailed(
                "The model holds something that an image cannot carry.",
                f"{artifact.address}/{path}",
                "in an image layer, a name that begins with .wh. deletes",
                "Rename the file.",
            )


def _entries(artifact: Artifact) -> list[tuple[str, ArtifactFile | None]]:
    entries = [
        *((folder, None) for folder in artifact.folders),
        *((file.path, file) for file in artifact.files),
    ]
    return sorted(entries, key=lambda entry: entry[0].encode())


def archive(files: Iterable[tuple[str, bytes, int]]) -> bytes:
    """The tar of a few small files, each with its name, content and mode."""
    members = (
        header(name, len(content), mode) + content + padding(len(content)) for name, content, mode in files
    )
    return b"".join(members) + _END


def header(name: str, size: int | None, mode: int = 0o644) -> bytes:
    """One tar header, a folder's where `size` is None; `TarInfo` has owner 0:0, no names and time 0."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = (tarfile.DIRTYPE, 0o755) if size is None else (tarfile.REGTYPE, mode)
    info.size = size or 0
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """What follows `size` bytes of content, up to the next block."""
    return bytes(-size % tarfile.BLOCKSIZE)

"""An artifact: a model's files where they are stored, as a value; `tasks/artifacts` stores and reads them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


def check_path(path: str) -> None:
    """Raises ValueError for a path that could lead out of an artifact, as one from outside might."""
    if not all(part not in ("", ".", "..") and "\0" not in part for part in path.split("/")):
        raise ValueError(f"{path!a} is no path below an artifact")


@dataclass(frozen=True)
class ArtifactFile:
    """A file: `path` below the artifact, `size` in bytes, `sha256` of the content in lowercase hexadecimal.

    `version` is the store's own name for this content, an ETag; it is empty where the store has none.

    Raises:
        ValueError: the path has empty parts, `.` or `..`, so it is not below the artifact.
    """

    path: str
    size: int
    sha256: str
    version: str = ""

    def __post_init__(self) -> None:
        check_path(self.path)


@dataclass(frozen=True)
class Artifact:
    """Files at an address, `file:///...` or `s3://bucket/...`; `folders` are all below it, empty ones too.

    Raises:
        ValueError: a folder's path leads out.
    """

    address: str
    files: tuple[ArtifactFile, ...]
    folders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for folder in self.folders:
            check_path(folder)


Read = Callable[[ArtifactFile], Iterator[bytes]]
"""Gives a file's content in pieces; raises ArtifactFailed, at the latest at its end, where it is another."""

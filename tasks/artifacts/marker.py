"""The marker of a stored artifact: it is written last, so that with it everything else is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.artifact import ArtifactFile, check_path
from tasks.errors import ArtifactFailed


@dataclass(frozen=True)
class Marker:
    """What is stored: files with sizes, SHA-256 and versions, folders, and the run's metrics."""

    files: tuple[ArtifactFile, ...]
    folders: tuple[str, ...]
    metrics: Mapping[str, Any]

    def __post_init__(self) -> None:
        for folder in self.folders:
            check_path(folder)


_MARKER = TypeAdapter(Marker)


def write_marker(marker: Marker) -> bytes:
    """The marker as JSON."""
    return _MARKER.dump_json(marker, indent=2)


def read_marker(content: bytes, where: str) -> Marker:
    """The marker that `content` holds.

    Raises:
        ArtifactFailed: it is damaged; `where` tells which one.
    """
    try:
        return _MARKER.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ArtifactFailed(
            "What is stored of an earlier run cannot be read.",
            where,
            ": ".join([".".join(map(str, first["loc"])), first["msg"]]),
            "Remove it to store the artifact again, or release with the next --attempt.",
        ) from None

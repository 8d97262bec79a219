"""Keeping what a pipeline run left: in its folder on this machine, or in a store that outlives the machine.

A store is an address. Below it, `<model>/<run id>/` has the run's files in a folder that is named after their
content, so that runs that were made twice never mix, and a marker named after the pipeline.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from tasks.artifact import Artifact, ArtifactFile, Read
from tasks.artifacts.marker import Marker, read_marker, write_marker
from tasks.artifacts.objects import Objects, open_objects
from tasks.artifacts.reading import reading
from tasks.artifacts.scan import scan
from tasks.metrics import json_metrics
from tasks.release import TrainedModel

_NAME = 16  # hex digits of a SHA-256 that name a folder or a marker


@dataclass(frozen=True)
class Run:
    """A run of the pipeline with the identity `pipeline` for a model."""

    model: str
    run_id: UUID
    pipeline: str

    @property
    def folder(self) -> str:
        """What the keys of all that is stored of the run begin with."""
        return f"{self.model}/{self.run_id}"

    @property
    def marker(self) -> str:
        """The key of the marker."""
        return f"{self.folder}/{self.pipeline[:_NAME]}.json"


def check_store(store: str) -> None:
    """Raises unless artifacts can be kept in `store`; where it is empty, runs keep them.

    Raises:
        AddressInvalid: it is no address of a store.
        ArtifactFailed, ArtifactsUnreachable: it cannot be written to.
    """
    if store:
        with open_objects(store) as objects:
            objects.check()


def find(store: str, run: Run) -> TrainedModel | None:
    """What was kept of `run`; None when it was not kept whole, or `store` is empty.

    Raises:
        ArtifactFailed, ArtifactsUnreachable: the store cannot be read.
    """
    if not store:
        return None
    with open_objects(store) as objects:
        marker = objects.get(run.marker)
    return None if marker is None else _trained(store, run, marker)


def _trained(store: str, run: Run, content: bytes) -> TrainedModel:
    marker = read_marker(content, f"{store}/{run.marker}")
    address = f"{store}/{run.folder}/{_content_name(marker.files, marker.folders)}"
    return TrainedModel(run.run_id, Artifact(address, marker.files, marker.folders), marker.metrics)


def keep(store: str, run: Run, directory: Path, metrics: Mapping[str, float]) -> TrainedModel:
    """Keeps the model's files in `directory` and the metrics; a store that has them already is left as it is.

    What an earlier, killed call has stored is not sent again. Where several keep the same run, all of them
    return what the first one stored.

    Raises:
        ArtifactFailed, ArtifactsUnreachable: the files or the store cannot be used.
    """
    artifact = scan(directory)
    if not store:
        return TrainedModel(run.run_id, artifact, metrics)
    with open_objects(store) as objects, reading(artifact) as read:
        folder = f"{run.folder}/{_content_name(artifact.files, artifact.folders)}"
        files = tuple(_stored(objects, f"{folder}/{file.path}", file, read) for file in artifact.files)
        marker = write_marker(Marker(files, artifact.folders, json_metrics(metrics)))
        return _trained(store, run, objects.create(run.marker, marker))


def _stored(objects: Objects, key: str, file: ArtifactFile, read: Read) -> ArtifactFile:
    version = objects.version(key, file.size)
    if version is None:
        version = objects.write(key, read(file), file.size)
    return replace(file, version=version)


def _content_name(files: tuple[ArtifactFile, ...], folders: tuple[str, ...]) -> str:
    listed = [[[file.path, file.size, file.sha256] for file in files], list(folders)]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:_NAME]

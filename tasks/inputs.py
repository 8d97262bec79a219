"""What a model is trained on: whether training again can give another model."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.model import Model
from tasks.paths import matches


@dataclass(frozen=True)
class Version:
    """The version of data at an address: the store's own name for it, or why none is known."""

    name: str = ""
    unknown: str = ""


@dataclass(frozen=True)
class Inputs:
    """Digests of a model's files and settings and of its locked requirements; its data's versions."""

    definition: str
    lock: str
    data: Mapping[str, Version] = field(default_factory=dict)

    def changes(self, before: "Inputs") -> list[str]:
        """What differs from the inputs `before`, a sentence each; data of no known version always does."""
        found = []
        if self.lock != before.lock:
            found.append("other packages are locked")
        elif self.definition != before.definition:
            found.append("the model's files or settings changed")
        for address, version in self.data.items():
            if version.unknown:
                found.append(f"{address} tells no version: {version.unknown}")
            elif version != before.data.get(address):
                found.append(f"{address} has another version")
        return found


def inputs_of(model: Model, directory: Path, data: Mapping[str, Version]) -> Inputs:
    """The inputs of the model whose notebook repository is checked out at `directory`."""
    definition, lock = hashlib.sha256(model.model_dump_json().encode()), ""
    for name in sorted(_files(directory)):
        if matches(model.watched, name):
            content = _digest(directory / name)
            definition.update(f"\0{name}\0{content}".encode(errors="surrogateescape"))
            lock = content if name == model.environment.requirements else lock
    return Inputs(definition.hexdigest(), lock, dict(data))


def _files(directory: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (str((Path(folder) / name).relative_to(directory)) for name in (*files, *links))


def _digest(path: Path) -> str:
    # As Git sees it: a link is where it leads to, which may be anywhere.
    if path.is_symlink():
        return hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

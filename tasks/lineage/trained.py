"""What a release was trained on, as the rows of a table that people read and the next schedule compares."""

from dataclasses import dataclass
from typing import Any

from tasks.inputs import Inputs, Version

_DATA = "data "
_UNKNOWN = "unknown: "


@dataclass(frozen=True)
class Trained:
    """A release, how it ended, and what it was trained on; `repository` is the notebooks' address."""

    release_id: str
    verdict: str
    repository: str
    inputs: Inputs


def trained_key(model: str) -> str:
    """The key of the artifact that holds the rows."""
    return f"{model}-inputs"


def rows(trained: Trained) -> list[dict[str, str]]:
    """A row for each input, with its version."""
    inputs = trained.inputs
    told = {
        "release": trained.release_id,
        "verdict": trained.verdict,
        "repository": trained.repository,
        "files and settings": inputs.definition,
        "locked requirements": inputs.lock,
        **{
            _DATA + address: version.name or _UNKNOWN + version.unknown
            for address, version in inputs.data.items()
        },
    }
    return [{"input": name, "version": value} for name, value in told.items()]


def read_rows(found: Any) -> Trained | None:
    """What `rows` were made of; None where they are something else."""
    try:
        told = {str(row["input"]): str(row["version"]) for row in found}
        data = {
            name.removeprefix(_DATA): Version(unknown=value.removeprefix(_UNKNOWN))
            if value.startswith(_UNKNOWN)
            else Version(value)
            for name, value in told.items()
            if name.startswith(_DATA)
        }
        inputs = Inputs(told["files and settings"], told["locked requirements"], data)
        return Trained(told["release"], told["verdict"], told["repository"], inputs)
    except (KeyError, TypeError):
        return None

"""One thing that a notebook says and its pipeline would not do."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.errors import NotebookInvalid


@dataclass(frozen=True)
class Finding:
    """Something that Kale compiles silently; `error` when the pipeline is wrong for sure.

    `cell` and `line` count from 1, the cell among all cells; without them it is in the notebook's metadata.
    """

    error: bool
    cell: int | None
    line: int | None
    what: str
    next_step: str

    def __str__(self) -> str:
        place = f"cell {self.cell}" if self.cell else "metadata"
        return f"{place}{f', line {self.line}' if self.line else ''}: {self.what} {self.next_step}"


def refuse_errors(found: Iterable[Finding], name: str) -> None:
    """Raises NotebookInvalid with all errors among the findings in the notebook `name`."""
    if errors := [str(finding) for finding in found if finding.error]:
        raise NotebookInvalid(
            "The notebook would become a pipeline that fails or computes something else.",
            where=name,
            why="\n".join(errors),
            next_step="Correct these cells; Kale compiles them without a word.",
        )

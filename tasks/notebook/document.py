"""A tagged Jupyter notebook, read without running it: its steps, parameters and metrics."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import NotebookInvalid
from tasks.model import Parameter

# Kale's tag language: https://pypi.org/project/kubeflow-kale/ ("Cell tags").
_STEP = re.compile(r"step:([_a-z][_a-z0-9]*)")
_PREVIOUS = re.compile(r"prev:([_a-z][_a-z0-9]*)")
_METRIC_LINE = re.compile(r"print\(([a-z](?:[_a-z0-9]{0,62}[a-z0-9])?)\)")


@dataclass(frozen=True)
class Cell:
    """A code cell; `number` counts all cells from 1, as a reader scrolling down would."""

    number: int
    source: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Notebook:
    """What Modelflight needs to know of a notebook. `metrics` are variable names, as the gate names them."""

    name: str
    steps: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    metrics: tuple[str, ...]
    document: dict[str, Any]


def read_notebook(path: Path, name: str) -> Notebook:
    """Reads and checks the notebook at `path`; `name` is how messages call it.

    Raises:
        NotebookInvalid: with the cell and the line, when it is missing, is no nbformat 4 Python notebook, or
            its tags do not make a pipeline.
    """
    document = _load(path, name)
    cells = tuple(_code_cells(document, name))
    return Notebook(
        name=name,
        steps=_steps(cells, name),
        parameters=_parameters(cells, name),
        metrics=_metrics(cells, name),
        document=document,
    )


def _load(path: Path, name: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotebookInvalid(
            "The notebook does not exist.", where=name, next_step="Correct `notebook:` or commit the file."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookInvalid("The notebook cannot be read.", where=name, why=str(error)) from None
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        conflict = re.search(r"^(<{7}|={7}|>{7})", text, re.MULTILINE)
        line = text.count("\n", 0, conflict.start()) + 1 if conflict else error.lineno
        raise NotebookInvalid(
            "The notebook is no valid JSON.",
            where=f"{name}:{line}",
            why="A merge conflict was committed." if conflict else error.msg,
            next_step="Open it in Jupyter, or restore it from the last good commit.",
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        version = document.get("nbformat") if isinstance(document, dict) else None
        raise NotebookInvalid(
            "The notebook is not in nbformat 4.",
            where=name,
            why=f"nbformat is {version!r}." if version else "It has no list of cells.",
            next_step="Save it again with a current Jupyter.",
        )
    language = document.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    if language.lower() != "python":
        raise NotebookInvalid(
            "Only Python notebooks can be compiled.", where=name, why=f"Its kernel's language is {language}."
        )
    return document


def _code_cells(document: dict[str, Any], name: str) -> Iterator[Cell]:
    for number, cell in enumerate(document["cells"], start=1):
        if not isinstance(cell, dict) or "cell_type" not in cell:
            raise NotebookInvalid("The notebook has a broken cell.", where=_at(name, number))
        if cell["cell_type"] == "code":
            source = cell.get("source", "")
            tags = cell.get("metadata", {}).get("tags", [])
            yield Cell(number, source if isinstance(source, str) else "".join(source), tuple(map(str, tags)))


def _at(name: str, cell: int, line: int | None = None) -> str:
    return f"{name}, cell {cell}" + (f", line {line}" if line else "")


def _steps(cells: Iterable[Cell], name: str) -> tuple[str, ...]:
    steps: list[str] = []
    for cell in cells:
        for tag in cell.tags:
            if tag.startswith(("step:", "prev:")) and not (_STEP.fullmatch(tag) or _PREVIOUS.fullmatch(tag)):
                raise NotebookInvalid(
                    f"The tag {tag!r} names no step.",
                    where=_at(name, cell.number),
                    next_step="Step names are lower-case letters, digits and underscores, like `step:train`.",
                )
        for previous in filter(None, map(_PREVIOUS.fullmatch, cell.tags)):
            if previous[1] not in steps:
                raise NotebookInvalid(
                    f"The tag {previous[0]!r} refers to a step that is not defined above it.",
                    where=_at(name, cell.number),
                    why=f"Steps above it: {', '.join(steps) or 'none'}.",
                    next_step=f"Tag an earlier cell `step:{previous[1]}`, or correct the tag.",
                )
        for step in filter(None, map(_STEP.fullmatch, cell.tags)):
            if step[1] not in steps:
                steps.append(step[1])
    if not steps:
        raise NotebookInvalid(
            "The notebook has no tagged steps.",
            where=name,
            why="A cell becomes part of a pipeline step by its tag.",
            next_step="In Jupyter, give cells tags such as `step:load` and `step:train` with `prev:load`.",
        )
    return tuple(steps)


def _tagged(cells: Iterable[Cell], tag: str) -> Iterator[Cell]:
    return (cell for cell in cells if tag in cell.tags)


def _parameters(cells: Iterable[Cell], name: str) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for cell in _tagged(cells, "pipeline-parameters"):
        try:
            statements = ast.parse(cell.source).body
        except SyntaxError as error:
            raise NotebookInvalid(
                "The parameters cell is no Python.", where=_at(name, cell.number, error.lineno), why=error.msg
            ) from None
        for statement in statements:
            match statement:
                case ast.Assign(
                    targets=[ast.Name(id=parameter)],
                    value=ast.Constant(value=bool() | int() | float() | str() as value),
                ):
                    found[parameter] = value
                case _:
                    raise NotebookInvalid(
                        "The parameters cell holds more than plain assignments.",
                        where=_at(name, cell.number, statement.lineno),
                        why=f"Found: {ast.unparse(statement).splitlines()[0]}",
                        next_step="Write one `name = value` a line, the value a number that is not negative, "
                        "True, False or a string; other values can be set in modelflight.yaml.",
                    )
    # Kale lower-cases the names of the pipeline's parameters.
    lowered = [parameter.lower() for parameter in found]
    if twice := sorted({parameter for parameter in lowered if lowered.count(parameter) > 1}):
        raise NotebookInvalid(
            f"Parameters differ in upper and lower case only: {', '.join(twice)}.",
            where=name,
            next_step="Rename one of them.",
        )
    return found


def _metrics(cells: Iterable[Cell], name: str) -> tuple[str, ...]:
    metrics: list[str] = []
    for cell in _tagged(cells, "pipeline-metrics"):
        for number, line in enumerate(cell.source.splitlines(), start=1):
            if not line.strip():
                continue
            metric = _METRIC_LINE.fullmatch(line.strip())
            if metric is None:
                raise NotebookInvalid(
                    "The metrics cell holds more than prints of variables.",
                    where=_at(name, cell.number, number),
                    why=f"Found: {line.strip()}",
                    next_step="Write one `print(name)` a line, the name in lower case.",
                )
            metrics.append(metric[1])
    return tuple(metrics)

"""A tagged Jupyter notebook, read without running it: its steps, parameters and metrics."""

import ast
import difflib
import hashlib
import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import NotebookInvalid
from tasks.files import read_inside
from tasks.model import Parameter
from tasks.parameters import LARGEST_WHOLE_NUMBER

_LARGEST = 100 * 1024**2  # bytes; outputs of cells are pictures, often
# Kale's tag language: https://pypi.org/project/kubeflow-kale/ ("Cell tags").
STEP = re.compile(r"step:([_a-z][_a-z0-9]*)")
PREVIOUS = re.compile(r"prev:([_a-z][_a-z0-9]*)")
# Tags that give a cell a part of its own; the first one counts, whatever else the cell is tagged.
ROLES = ("skip", "pipeline-parameters", "pipeline-metrics", "imports", "functions")
# The words that Kale's other tags begin with; it refuses a notebook that has any else.
_TAGS = (
    *ROLES,
    "step",
    "prev",
    "notebook",
    "image",
    "limit",
    "secret",
    "label",
    "annotation",
    "cache",
    "report",
)
_METRIC_LINE = re.compile(r"print\(([a-z](?:[_a-z0-9]{0,62}[a-z0-9])?)\)")


@dataclass(frozen=True)
class Cell:
    """A code cell; `number` counts all cells from 1, as a reader scrolling down would.

    `role` is one of Kale's tags for cells outside of the steps, or `step`. A cell without a tag goes on with
    the part of the one above it.
    """

    number: int
    source: str
    tags: tuple[str, ...]
    role: str


@dataclass(frozen=True)
class Notebook:
    """What Modelflight needs to know of a notebook.

    `name` is its path in the notebook repository, `sha256` that of the file (hex), and `metrics` are variable
    names, as the gate names them.
    """

    name: str
    sha256: str
    steps: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    metrics: tuple[str, ...]
    document: dict[str, Any]


def read_notebook(directory: Path, name: str) -> Notebook:
    """The notebook `name` of the notebook repository at `directory`.

    Raises:
        NotebookInvalid: it is missing, no regular file of the repository, over 100 MiB, or see
            `parse_notebook`.
    """
    try:
        content = read_inside(directory, name, _LARGEST)
    except FileNotFoundError:
        raise NotebookInvalid(
            "The notebook does not exist.", where=name, next_step="Correct `notebook:` or commit the file."
        ) from None
    except OSError as error:
        raise NotebookInvalid(
            "The notebook cannot be read.",
            where=name,
            why=f"{error.strerror}.",
            next_step="Commit it as a plain file of the notebook repository.",
        ) from None
    return parse_notebook(content, name)


def parse_notebook(content: bytes, name: str) -> Notebook:
    """Checks the notebook in `content`; `name` is how messages call it.

    Raises:
        NotebookInvalid: with the cell and the line, when it is no nbformat 4 Python notebook, or its tags do
            not make a pipeline.
    """
    document = _load(content, name)
    cells = tuple(code_cells(document, name))
    return Notebook(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        steps=_steps(cells, name),
        parameters=_parameters(cells, name),
        metrics=_metrics(cells, name),
        document=document,
    )


def _load(content: bytes, name: str) -> dict[str, Any]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotebookInvalid(
            "The notebook cannot be read.",
            where=name,
            why=str(error),
            next_step="Save it again with a current Jupyter, as UTF-8.",
        ) from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        conflict = re.search(r"^(<{7}|={7}|>{7})", text, re.MULTILINE)
        line = text.count("\n", 0, conflict.start()) + 1 if conflict else getattr(error, "lineno", None)
        raise NotebookInvalid(
            "The notebook is no valid JSON.",
            where=f"{name}:{line}" if line else name,
            why="A merge conflict was committed." if conflict else getattr(error, "msg", str(error)),
            next_step="Open it in Jupyter, or restore it from the last good commit.",
        ) from None
    version = document.get("nbformat") if isinstance(document, dict) else None
    if not isinstance(document, dict) or version != 4 or not isinstance(document.get("cells"), list):
        raise NotebookInvalid(
            "The notebook is not in nbformat 4.",
            where=name,
            why="It has no list of cells." if version == 4 else f"nbformat is {version!r}.",
            next_step="Save it again with a current Jupyter.",
        )
    metadata = _mapping(document, "metadata", name)
    for key, field in (("kernelspec", "language"), ("language_info", "name")):
        language = _mapping(metadata, key, name).get(field, "python")
        if not isinstance(language, str) or language.lower() != "python":
            raise NotebookInvalid(
                "Only Python notebooks can be compiled.",
                where=name,
                why=f"Its kernel's language is {language!r}.",
                next_step="Choose a Python kernel in Jupyter and save the notebook.",
            )
    python = _mapping(metadata, "language_info", name).get("version")
    kernel = _mapping(metadata, "kernelspec", name).get("name")
    if kernel == "python2" or (isinstance(python, str) and python.startswith("2.")):
        raise NotebookInvalid(
            "Notebooks of Python 2 cannot be compiled.",
            where=name,
            why=f"Its kernel is {kernel!r}, and it was saved with Python {python or 2}.",
            next_step="Choose a Python 3 kernel in Jupyter, run the notebook with it, and save it.",
        )
    return document


def _mapping(parent: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    """What `parent` has under `key`, which nbformat wants to be an object where it is there at all."""
    value = parent.get(key, {})
    if isinstance(value, dict):
        return value
    raise _malformed(where, f"{key} is {_shown(value)}, wanted an object")


def _malformed(where: str, why: str) -> NotebookInvalid:
    return NotebookInvalid(
        "The notebook is not what nbformat 4 asks for.",
        where=where,
        why=f"{why}.",
        next_step="Open it in Jupyter and save it again, or restore it from the last good commit.",
    )


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)[:80]


def code_cells(document: dict[str, Any], name: str) -> Iterator[Cell]:
    """The code cells of a notebook in nbformat 4.

    Raises:
        NotebookInvalid: a cell is not what the format asks for.
    """
    role = ""
    for number, cell in enumerate(document["cells"], start=1):
        at = _at(name, number)
        if not isinstance(cell, dict) or "cell_type" not in cell:
            raise _malformed(at, "it is no object with a cell_type")
        if cell["cell_type"] != "code":
            continue
        lines = cell.get("source", "")
        lines = [lines] if isinstance(lines, str) else lines
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise _malformed(at, f"source is {_shown(lines)}, wanted text or a list of texts")
        tags = _mapping(cell, "metadata", at).get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise _malformed(at, f"tags is {_shown(tags)}, wanted a list of texts")
        own = next((tag for tag in tags if tag in ROLES), None)
        if own is None and any(tag.startswith("step:") for tag in tags):
            own = "step"
        # A skipped cell does not end the part that it stands in.
        yield Cell(number, "".join(lines), tuple(tags), own or role)
        role = role if own in (None, "skip") else str(own)


def _at(name: str, cell: int, line: int | None = None) -> str:
    return f"{name}, cell {cell}" + (f", line {line}" if line else "")


def _steps(cells: Iterable[Cell], name: str) -> tuple[str, ...]:
    steps: list[str] = []
    for cell in cells:
        if any(tag in ROLES for tag in cell.tags):
            continue
        _check_tags(cell, name)
        for previous in filter(None, map(PREVIOUS.fullmatch, cell.tags)):
            if previous[1] not in steps:
                raise NotebookInvalid(
                    f"The tag {previous[0]!r} refers to a step that is not defined above it.",
                    where=_at(name, cell.number),
                    why=f"Steps above it: {', '.join(steps) or 'none'}.",
                    next_step=f"Tag an earlier cell `step:{previous[1]}`, or correct the tag.",
                )
        for step in filter(None, map(STEP.fullmatch, cell.tags)):
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


def _check_tags(cell: Cell, name: str) -> None:
    for tag in cell.tags:
        if tag.partition(":")[0] not in _TAGS:
            close = difflib.get_close_matches(tag.partition(":")[0], _TAGS, n=1)
            raise NotebookInvalid(
                f"The tag {tag!r} means nothing to Kale.",
                where=_at(name, cell.number),
                next_step=f"Did you mean {close[0]!r}?"
                if close
                else f"Remove it, or use: {', '.join(_TAGS)}.",
            )
        if tag.startswith(("step:", "prev:")) and not (STEP.fullmatch(tag) or PREVIOUS.fullmatch(tag)):
            raise NotebookInvalid(
                f"The tag {tag!r} names no step.",
                where=_at(name, cell.number),
                next_step="Step names are lower-case letters, digits and underscores, like `step:train`.",
            )
        if tag.startswith("notebook:"):
            raise NotebookInvalid(
                f"The tag {tag!r} refers to another notebook, which cannot be compiled along.",
                where=_at(name, cell.number),
                next_step="Move the cells of the other notebook into this one.",
            )
    if sum(tag.startswith("step:") for tag in cell.tags) > 1:
        raise NotebookInvalid(
            "The cell belongs to more than one step.",
            where=_at(name, cell.number),
            why=f"Its tags: {', '.join(cell.tags)}.",
            next_step="Leave one `step:` tag, and split the cell where it does two things.",
        )


def _with_role(cells: Iterable[Cell], role: str) -> Iterator[Cell]:
    return (cell for cell in cells if cell.role == role)


def _parameters(cells: Iterable[Cell], name: str) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for cell in _with_role(cells, "pipeline-parameters"):
        for statement in _statements(cell, name):
            match statement:
                case ast.Assign(
                    targets=[ast.Name(id=parameter)],
                    value=ast.Constant(value=bool() | int() | float() | str() as value),
                ):
                    if reason := _unusable(value):
                        raise NotebookInvalid(
                            f"The parameter {parameter!r} has a value that a pipeline cannot carry.",
                            where=_at(name, cell.number, statement.lineno),
                            why=reason,
                            next_step="Write another value; modelflight.yaml can set it too.",
                        )
                    found[parameter] = value
                case _:
                    raise NotebookInvalid(
                        "The parameters cell holds more than plain assignments.",
                        where=_at(name, cell.number, statement.lineno),
                        why=f"Found: {cell.source.splitlines()[statement.lineno - 1].strip()}",
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


def _statements(cell: Cell, name: str) -> list[ast.stmt]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an unknown escape, which Jupyter has shown already
            return ast.parse(cell.source).body
    # Null bytes, half characters, and nesting beyond what the parser's stack holds.
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotebookInvalid(
            "The parameters cell is no Python.",
            where=_at(name, cell.number, getattr(error, "lineno", None)),
            why=getattr(error, "msg", str(error)),
            next_step="Write one `name = value` a line.",
        ) from None


def _unusable(value: Parameter) -> str:
    """Why the declared `value` cannot be a parameter; empty when it can."""
    match value:
        case float() if not math.isfinite(value):
            return "It is too large for a number with a fraction."
        case int() if value > LARGEST_WHOLE_NUMBER:
            return f"Whole numbers beyond {LARGEST_WHOLE_NUMBER} lose digits in Kubeflow Pipelines."
        case str() if any("\ud800" <= character <= "\udfff" for character in value):
            return "It holds half a character (a lone surrogate)."
    return ""


def _metrics(cells: Iterable[Cell], name: str) -> tuple[str, ...]:
    metrics: list[str] = []
    for cell in _with_role(cells, "pipeline-metrics"):
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

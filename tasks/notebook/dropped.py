"""What a notebook's tags, imports and parameters ask for, and Kale 2.3 drops; see `static_check.py`."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tasks.notebook.document import ROLES
from tasks.notebook.finding import Finding
from tasks.notebook.flow import Code, Flow, Step, previous_of
from tasks.notebook.names import Binding, read_names

# The limits that Kale 2.3 puts into the pipeline (`templates/_step_config.jinja2`).
_LIMITS_KEPT = ("nvidia.com/gpu", "amd.com/gpu")
_TAGS_OF_FIRST_CELLS = ("limit", "image", "secret", "label", "annotation", "cache", "report")
_ALWAYS_INSTALLED = sys.stdlib_module_names | {"kale", "kfp", "IPython"}


def dropped_defaults(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Limits that the notebook's metadata gives all steps."""
    settings = document.get("metadata", {}).get("kubeflow_notebook")
    defaults = settings.get("steps_defaults") if isinstance(settings, dict) else None
    for tag in defaults if isinstance(defaults, list) else ():
        if isinstance(tag, str) and _is_dropped_limit(tag):
            yield _dropped_limit(tag, None)


def dropped_tags(steps: Iterable[Step]) -> Iterator[Finding]:
    """Limits that Kale does not know, and tags for pods on other cells than a step's first."""
    for step in steps:
        first, *others = step.cells
        yield from (_dropped_limit(tag, first.number) for tag in first.tags if _is_dropped_limit(tag))
        for cell in others:
            for tag in cell.tags:
                if tag.partition(":")[0] in _TAGS_OF_FIRST_CELLS:
                    what = _ignored(tag, step)
                    yield Finding(False, cell.number, None, what, "Move the tag there.")


def _ignored(tag: str, step: Step) -> str:
    return f"Kale ignores the tag {tag!r}: step {step.name!r} begins in cell {step.cells[0].number}."


def _is_dropped_limit(tag: str) -> bool:
    return tag.startswith("limit:") and tag.split(":")[1] not in _LIMITS_KEPT


def _dropped_limit(tag: str, cell: int | None) -> Finding:
    return Finding(
        False,
        cell,
        None,
        f"Kale drops {tag!r}, so the step runs without this limit.",
        f"It knows only {' and '.join(_LIMITS_KEPT)}.",
    )


def reserved_names(steps: Iterable[Step]) -> Iterator[Finding]:
    """Steps that are named as other parts of a notebook, as which Kale takes their cells."""
    for step in steps:
        if step.name in ROLES:
            what = f"Kale takes the tag 'step:{step.name}' for {step.name!r}, and makes no step of the cell."
            yield Finding(True, step.cells[0].number, None, what, "Give the step another name.")


def dropped_order(flow: Flow) -> Iterator[Finding]:
    """`prev:` tags that do not make a step wait, and those that would make a cycle."""
    for step in flow.steps:
        first, *others = step.cells
        before = flow.before[step.name]
        for other in step.previous:
            if other not in before:
                what = (
                    f"Step {step.name!r} gets nothing from {other!r}, and Kale does not let it wait for it."
                )
                hint = f"Use a variable of step {other!r} where the order matters, or drop the tag."
                yield Finding(False, first.number, None, what, hint)
        for cell in others:
            for other in previous_of(cell):
                if step.name in flow.ancestors[other]:
                    what = f"The cell goes on with step {step.name!r} after {other!r}, which follows on it."
                    hint = "Give the cell a step of its own: Kale puts it into the step, before the other."
                    yield Finding(True, cell.number, None, what, hint)
                elif other != step.name and other not in before:
                    what = _ignored(f"prev:{other}", step)
                    yield Finding(False, cell.number, None, what, "Move the tag there.")


def dropped_packages(flow: Flow) -> Iterator[Finding]:
    """Imports in steps of packages that are then missing in the steps' containers."""
    installed = _ALWAYS_INSTALLED | {package for package, _ in flow.shared.names.imports}
    for code in flow.codes.values():
        for package, at in code.names.imports:
            cell, line = code.places[at - 1]
            if cell.role == "step" and package not in installed:
                what = f"Kale does not install {package!r}, which is imported outside of the imports cell."
                hint = "Import it there; packages of a lock are installed anyway."
                yield Finding(False, cell.number, line, what, hint)


def replaced_parameters(flow: Flow) -> Iterator[Finding]:
    """Parameters that a cell assigns, while others still get the value that was set."""
    declared = {
        binding.name: cell.number
        for cell in flow.cells
        if cell.role == "pipeline-parameters" and (names := read_names(cell.source))
        for binding in names.bindings
    }
    for name, binding in _first_bindings(flow.shared, flow.parameters).items():
        cell, line = flow.shared.places[binding.line - 1]
        what = f"The parameter {name!r} is replaced here in every step, so setting it changes nothing."
        error = binding.certain and cell.number < declared[name]
        yield Finding(error, cell.number, line, what, "Call one of the two something else.")
    for step, code in flow.codes.items():
        for name, binding in _first_bindings(code, flow.parameters).items():
            cell, line = code.places[binding.line - 1]
            takers = {
                taker: any(use.certain for use in uses)
                for taker in flow.codes
                if step in flow.ancestors[taker]
                and (uses := [use for use in flow.codes[taker].names.uses if use.name == name])
            }
            if cell.role == "step" and takers:
                others = ", ".join(takers)
                what = f"Step {step!r} replaces the parameter {name!r}, but {others} gets it as it was set."
                error = binding.certain and any(takers.values())
                yield Finding(error, cell.number, line, what, "Call the new value something else.")


def _first_bindings(code: Code, names: Iterable[str]) -> dict[str, Binding]:
    """The first binding of each name that is sure to run, or the first at all."""
    found: dict[str, Binding] = {}
    for binding in sorted(code.names.bindings, key=lambda binding: not binding.certain):
        if binding.name in names:
            found.setdefault(binding.name, binding)
    return found

"""What Kale 2.3 compiles without a word and otherwise than the notebook reads, found before Kale runs.

A finding is an error where the pipeline is sure to fail or to compute something else than the notebook:

- a name that runs whatever happens, and that neither the step nor those before it by `prev:` define, nor the
  imports, functions and parameters cells, Python or the kernel;
- a variable that a step before has, but Kale does not hand on, or takes from one that does not have it;
- a metric that no step has;
- a cell that goes on with a step and is tagged to come after one that itself comes after that step: Kale puts
  the cell into the step and forgets the tag;
- a parameter that a cell replaces, where a later step then gets the parameter's value and not the cell's;
- a step with the name of a part of the notebook, as which Kale takes it.

It is a warning where that depends on what is seen only when it runs (a name in a function, a branch, a loop,
a `try`, or in code that defines names by `exec` and the like), or where results are as they should be, but
not all that was asked for: an order of steps, a limit, a package in the step's container.

What Kale refuses by itself, such as magics in a step, is not looked for; a notebook with such cells has none
of the findings that need its code to be read.
"""

import re
from collections.abc import Iterator

from tasks.notebook.document import Notebook, code_cells
from tasks.notebook.dropped import (
    dropped_defaults,
    dropped_order,
    dropped_packages,
    dropped_tags,
    replaced_parameters,
    reserved_names,
)
from tasks.notebook.finding import Finding
from tasks.notebook.flow import Flow, givers_of, has_name, nearest_first, read_flow, read_steps
from tasks.notebook.names import KERNEL_NAMES, Use, read_names

_HISTORY = re.compile(r"_i?\d+")  # the kernel's `_3` and `_i3`


def findings(notebook: Notebook) -> tuple[Finding, ...]:
    """What Kale would compile silently, in the order of the cells."""
    cells = tuple(code_cells(notebook.document, notebook.name))
    steps = read_steps(cells)
    found = [*dropped_defaults(notebook.document), *dropped_tags(steps), *reserved_names(steps)]
    flow = read_flow(cells, frozenset(notebook.parameters))
    if flow and not any(finding.error for finding in found):
        found += _undefined(flow)
        found += _undefined_metrics(flow)
        found += dropped_order(flow)
        found += dropped_packages(flow)
        found += replaced_parameters(flow)
    return tuple(sorted(found, key=lambda finding: (finding.cell or 0, finding.line or 0, finding.what)))


def _undefined(flow: Flow) -> list[Finding]:
    found: dict[tuple[int, int, str], Finding] = {}
    # Functions of the common cells are in every step, also where nobody calls them.
    somewhere = {
        use.name
        for use in flow.shared.names.uses
        if any(_is_defined(step, use.name, flow) for step in flow.codes)
    }
    for step, code in flow.codes.items():
        first: dict[str, Use] = {}
        for use in sorted(code.names.uses, key=lambda use: not use.certain):
            first.setdefault(use.name, use)
        for use in first.values():
            cell, line = code.places[use.line - 1]
            if _is_defined(step, use.name, flow):
                continue
            if not use.certain and cell.role != "step" and use.name in somewhere:
                continue
            finding = _explained(step, use, cell.number, line, flow)
            key = (cell.number, line, use.name)
            if finding and (finding.error or key not in found):
                found[key] = finding
    return list(found.values())


def _is_defined(step: str, name: str, flow: Flow) -> bool:
    if name in flow.parameters or name in KERNEL_NAMES or _HISTORY.fullmatch(name):
        return True
    names = flow.codes[step].names
    giver = flow.givers[step].get(name)
    if name in names.bound and all(use.name != name for use in names.uses):
        return True
    return giver is not None and has_name(giver, name, flow)


def _explained(step: str, use: Use, cell: int, line: int, flow: Flow) -> Finding | None:
    """The finding for a name that is not there when `step` uses it.

    None where the step that it is taken from has that finding, or a star import may define it.
    """
    names = flow.codes[step].names
    if giver := flow.givers[step].get(use.name):
        return _not_there(giver, f"step {step!r}", use.name, cell, line, flow)
    unseen = use.name not in names.missing
    certain = use.certain and not names.hidden
    ancestors = flow.ancestors[step]
    holders = [other for other in ancestors if use.name in flow.codes[other].names.bound]
    if holders:
        what = f"Kale does not hand {use.name!r} on from step {holders[0]!r} to {step!r}, which uses it."
        if unseen and names.starred:
            hint = "With `import *`, Kale takes every name for imported: import the names that are used."
        elif unseen:
            hint = "It takes a line that begins with `%` for a magic: end the line above with the `%`."
        else:
            hint = (
                f"It does not see it defined: import it in the imports cell, or add {use.name} = {use.name}."
            )
        # A star import in the step itself may be what defines the name here, in Jupyter too.
        perhaps = unseen and names.starred and not flow.shared.names.starred
        return Finding(certain and not perhaps, cell, line, what, hint)
    if unseen and names.starred:
        return None
    what = f"{use.name!r} is not defined in step {step!r}, nor in what runs before it."
    return Finding(certain, cell, line, what, _where_else(step, use.name, flow))


def _not_there(giver: str, taker: str, name: str, cell: int, line: int, flow: Flow) -> Finding | None:
    names = flow.codes[giver].names
    if name not in names.deleted and any(use.name == name for use in names.uses):
        return None
    how = "deletes it" if name in names.deleted else "has it only within a comprehension or a function"
    what = f"Kale takes {name!r} for {taker} from step {giver!r}, which {how}."
    return Finding(True, cell, line, what, f"Call it something else in step {giver!r}.")


def _where_else(step: str, name: str, flow: Flow) -> str:
    for other in flow.codes:
        if name in flow.codes[other].names.bound:
            if step in {other, *flow.ancestors[other]}:
                return f"Step {other!r} defines it afterwards."
            return f"Step {other!r} defines it: tag the first cell of {step!r} `prev:{other}`."
    for cell in flow.cells:
        names = read_names(cell.source) if cell.role in ("", "skip") else None
        if names and name in names.bound:
            return (
                f"Cell {cell.number} defines it, but is in no step: tag it `imports`, `functions` or `step:`."
            )
    return "Define it, or correct the name."


def _undefined_metrics(flow: Flow) -> Iterator[Finding]:
    previous = {step.name: step.previous for step in flow.steps}
    last = tuple(name for name in previous if not any(name in others for others in previous.values()))
    ancestors = tuple(nearest_first("", previous | {"": last}))
    for cell in flow.cells:
        names = read_names(cell.source) if cell.role == "pipeline-metrics" else None
        for use in names.uses if names else ():
            giver = givers_of(frozenset({use.name}), ancestors, flow.codes).get(use.name)
            if giver is None:
                what = f"No step defines the metric {use.name!r}, and Kale leaves it out."
                hidden = any(code.names.hidden for code in flow.codes.values())
                error = not hidden and use.name not in flow.parameters
                yield Finding(error, cell.number, use.line, what, "Define it in a step, or correct the name.")
            elif use.name not in flow.parameters and not has_name(giver, use.name, flow):
                finding = _not_there(giver, "the metrics", use.name, cell.number, use.line, flow)
                if finding:
                    yield finding

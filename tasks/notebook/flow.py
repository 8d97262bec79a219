"""How Kale 2.3 makes a pipeline of a notebook: what is in which step, what a step hands to which, the order.

Read in Kale's `processors/nbprocessor.py` and `compiler.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tasks.notebook.document import PREVIOUS, STEP, Cell
from tasks.notebook.names import KERNEL_NAMES, Names, read_names


@dataclass(frozen=True)
class Step:
    """A step with its cells.

    `previous` are the steps that its first cell's `prev:` tags name; those of its other cells Kale ignores.
    """

    name: str
    cells: tuple[Cell, ...]
    previous: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Cells put together, as they run; `places` has cell and line (both from 1) of each line."""

    names: Names
    places: tuple[tuple[Cell, int], ...]


@dataclass(frozen=True)
class Flow:
    """A notebook as Kale sees it; the steps are in the order of the notebook.

    `shared` are the cells that run at the beginning of every step, `codes` those of each step and the shared
    ones. `ancestors` are those of each step by `prev:`, nearest first; `givers` the steps that Kale takes its
    missing names from; `before` the steps that have ended when it begins.
    """

    cells: tuple[Cell, ...]
    steps: tuple[Step, ...]
    parameters: frozenset[str]
    shared: Code
    codes: Mapping[str, Code]
    ancestors: Mapping[str, tuple[str, ...]]
    givers: Mapping[str, Mapping[str, str]]
    before: Mapping[str, frozenset[str]]


def read_steps(cells: Iterable[Cell]) -> tuple[Step, ...]:
    """The steps in the order of their first cells."""
    members: dict[str, list[Cell]] = {}
    current = ""
    for cell in cells:
        if cell.role == "step":
            current = next((step[1] for step in map(STEP.fullmatch, cell.tags) if step), current)
            members.setdefault(current, []).append(cell)
    return tuple(Step(name, tuple(found), previous_of(found[0])) for name, found in members.items())


def previous_of(cell: Cell) -> tuple[str, ...]:
    """The steps that the `prev:` tags of a cell name."""
    return tuple(dict.fromkeys(found[1] for found in map(PREVIOUS.fullmatch, cell.tags) if found))


def read_flow(cells: tuple[Cell, ...], parameters: frozenset[str]) -> Flow | None:
    """What Kale makes of the cells; None where some that run are no Python."""
    steps = read_steps(cells)
    common = [cell for role in ("imports", "functions") for cell in cells if cell.role == role]
    shared = _read_code(common)
    codes = {step.name: code for step in steps if (code := _read_code([*common, *step.cells]))}
    if shared is None or len(codes) < len(steps):
        return None
    previous = {step.name: step.previous for step in steps}
    ancestors = {name: tuple(nearest_first(name, previous)) for name in previous}
    givers = {
        name: givers_of(code.names.missing - parameters, ancestors[name], codes)
        for name, code in codes.items()
    }
    before: dict[str, frozenset[str]] = {}
    above = ""
    for name in _sorted_as_in_networkx(previous):
        # What gets nothing waits for the step above it.
        waits_for = {*givers[name].values()} or {above} - {""}
        before[name] = frozenset(waits_for).union(*(before[other] for other in waits_for))
        above = name
    return Flow(cells, steps, parameters, shared, codes, ancestors, givers, before)


def givers_of(names: frozenset[str], ancestors: tuple[str, ...], codes: Mapping[str, Code]) -> dict[str, str]:
    """The step that Kale takes each of `names` from: the nearest that mentions it."""
    return {name: step for step in reversed(ancestors) for name in codes[step].names.offered & names}


def has_name(step: str, name: str, flow: Flow) -> bool:
    """Whether the variable `name` is there when `step` has run, so that it can be saved."""
    giver = flow.givers[step].get(name)
    names = flow.codes[step].names
    return (
        name in names.bound
        or name in KERNEL_NAMES
        or names.hidden
        or (giver is not None and name not in names.deleted and has_name(giver, name, flow))
    )


def nearest_first(step: str, previous: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The ancestors of `step` as Kale orders them."""
    queue, seen = [step], {step}
    for current in queue:
        for other in sorted(previous[current]):
            if other not in seen:
                seen.add(other)
                queue.append(other)
                yield other


def _read_code(cells: Iterable[Cell]) -> Code | None:
    sources = [(cell, cell.source.replace("\r\n", "\n").replace("\r", "\n")) for cell in cells]
    names = read_names("\n".join(source for _, source in sources))
    places = ((cell, line) for cell, source in sources for line in range(1, source.count("\n") + 2))
    return Code(names, tuple(places)) if names else None


def _sorted_as_in_networkx(previous: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The steps in the order of `networkx.topological_sort`, in which Kale lets them wait for each other."""
    left = {name: len(others) for name, others in previous.items()}
    generation = [name for name, count in left.items() if count == 0]
    while generation:
        yield from generation
        following = []
        for done in generation:
            for name in (name for name, others in previous.items() if done in others):
                left[name] -= 1
                if left[name] == 0:
                    following.append(name)
        generation = following

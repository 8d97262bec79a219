"""The scalars of a YAML file with their exact positions, and whether each can be replaced there; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.errors import FleetTargetInvalid

if TYPE_CHECKING:
    from yaml import Node, ScalarNode

Keys = tuple[str, ...]
"""The mapping keys and sequence indexes that lead to a scalar."""


@dataclass(frozen=True)
class Scalar:
    """One scalar as it is written: characters `start` to `end`, quotes included; `line` counts from 1.

    Offsets count from behind a byte order mark. `fault` says why it cannot be replaced, or is empty.
    """

    start: int
    end: int
    line: int
    value: str
    quote: str
    fault: str


def text_of(file: str, content: bytes) -> tuple[str, str]:
    """The byte order mark (or nothing) and the text behind it.

    Raises:
        FleetTargetInvalid: the file is no UTF-8.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable(file, line, "It is not encoded in UTF-8.") from None
    # PyYAML's parsers disagree on whether the mark counts; without it the question does not come up.
    return ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)


def documents(file: str, content: bytes) -> list[list[tuple[Keys, Scalar]]]:
    """The scalars of each YAML document of the file, in the file's order.

    Raises:
        FleetTargetInvalid: the file is no UTF-8 or no YAML; the message has the line.
    """
    import yaml

    _, text = text_of(file, content)
    try:
        roots = list(yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "It cannot be parsed."
        raise _unreadable(file, mark.line + 1 if mark else 1, str(why)) from None
    return [sorted(_scalars(root, text), key=lambda item: item[1].start) for root in roots if root]


def _scalars(root: "Node", text: str) -> Iterator[tuple[Keys, Scalar]]:
    """Every scalar value once, with the keys and indexes that lead to it first."""
    from yaml import ScalarNode

    uses = Counter([id(root), *(id(child) for node in _reachable(root) for _, child in _children(node))])
    seen: set[int] = set()
    stack: list[tuple[Keys, Node, bool]] = [((), root, False)]
    while stack:
        path, node, shared = stack.pop()
        shared = shared or uses[id(node)] > 1
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, ScalarNode):
            yield path, _scalar(node, text, shared=shared)
        stack.extend(((*path, key), child, shared) for key, child in _children(node))


def _reachable(root: "Node") -> Iterable["Node"]:
    """Every node from `root` on once; aliases may make the tree a graph, even a cyclic one."""
    found: dict[int, Node] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) not in found:
            found[id(node)] = node
            stack.extend(child for _, child in _children(node))
    return found.values()


def _children(node: "Node") -> list[tuple[str, "Node"]]:
    from yaml import MappingNode, ScalarNode, SequenceNode

    if isinstance(node, MappingNode):
        return [(key.value if isinstance(key, ScalarNode) else "", value) for key, value in node.value]
    return (
        [(str(index), item) for index, item in enumerate(node.value)]
        if isinstance(node, SequenceNode)
        else []
    )


def _scalar(node: "ScalarNode", text: str, *, shared: bool) -> Scalar:
    start, end = node.start_mark.index, node.end_mark.index
    written = text[start:end]
    quote = written[:1] if written[:1] in ("'", '"') else ""
    fault = "is shared with other places through an alias" if shared else _fault(node, written, quote)
    return Scalar(start, end, node.start_mark.line + 1, str(node.value), quote, fault)


def _fault(node: "ScalarNode", written: str, quote: str) -> str:
    """Why replacing the characters `written` is not safe; empty when the value stands there verbatim."""
    if not written:
        return "is empty; write `none` there"
    if written == f"{quote}{node.value}{quote}":
        return ""
    if written[0] in "&!":
        return "carries an anchor or a tag"
    if node.style in ("|", ">"):
        return "is a block scalar"
    return "is written with escapes or over several lines"


def _unreadable(file: str, line: int, why: str) -> FleetTargetInvalid:
    return FleetTargetInvalid(
        "The fleet file that carries the image cannot be read as YAML.",
        where=f"{file}:{line}",
        why=why,
        next_step="Correct the file, or let fleet.path name the one file that carries the image.",
    )

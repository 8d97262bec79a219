"""YAML text as plain values, each with the line it stands in.

Scalars are read as people who know JSON or YAML 1.2 expect (https://yaml.org/spec/1.2.2/#103-core-schema),
not by YAML 1.1 as PyYAML does: only `true` and `false` are booleans, numbers are decimal, `1e-3` is one of
them, and dates, times, `on`, `1_000`, `0o17` or `007` are text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from tasks.config.composer import compose
from tasks.config.problem import Location, Problem

# Python refuses to convert longer ones (sys.set_int_max_str_digits); as a float they are infinite.
_MOST_DIGITS = 4300

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_KINDS = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "nothing",
}


@dataclass(frozen=True)
class Place:
    """Where one value stands.

    Attributes:
        line: line of its key, or of the value itself in a list.
        first_line: the line in which the value begins.
        kind: what is written there, in the user's words ("a list").
    """

    line: int
    first_line: int
    kind: str


@dataclass(frozen=True)
class Document:
    """A YAML file as plain values (dict with text keys, list, str, int, float, bool, None)."""

    value: object
    places: Mapping[Location, Place]
    problems: tuple[Problem, ...]


def read_document(text: str) -> Document:
    """The document in `text`; what is ambiguous in it (a key written twice) is in its problems.

    Raises:
        yaml.YAMLError: see `compose`.
    """
    root = compose(text)
    if root is None:
        return Document(None, {(): Place(1, 1, "nothing")}, ())
    reader = _Reader()
    value = reader.value(root, (), root.start_mark.line + 1)
    return Document(value, reader.places, tuple(reader.problems))


class _Reader:
    """Nodes to plain values; notes the place of each value and what is wrong with keys."""

    def __init__(self) -> None:
        self.places: dict[Location, Place] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, location: Location, line: int) -> object:
        first_line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            self.places[location] = Place(line, first_line, "a mapping")
            return {
                key: self.value(value, (*location, key), key_line)
                for key, (value, key_line) in self._entries(node, location).items()
            }
        if isinstance(node, yaml.SequenceNode):
            self.places[location] = Place(line, first_line, "a list")
            return [
                self.value(item, (*location, index), item.start_mark.line + 1)
                for index, item in enumerate(node.value)
            ]
        value = _scalar(node.value) if _is_plain(node) else node.value
        kind = "text in quotes" if isinstance(value, str) and not _is_plain(node) else _KINDS[type(value)]
        self.places[location] = Place(line, first_line, kind)
        return value

    def _entries(self, mapping: yaml.MappingNode, location: Location) -> dict[str, tuple[yaml.Node, int]]:
        """Value and line of each key; a key that stands twice keeps its first value."""
        entries: dict[str, tuple[yaml.Node, int]] = {}
        for key, value in mapping.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(Problem(line, "a key is text, not a mapping or a list", location))
            elif key.value == "<<" and _is_plain(key):
                message = "merge keys (<<) are not part of YAML 1.2; write the keys out"
                self.problems.append(Problem(line, message, location))
            elif key.value in entries:
                message = f"this key stands twice, in lines {entries[key.value][1]} and {line}"
                self.problems.append(Problem(line, message, (*location, key.value)))
            else:
                entries[key.value] = (value, line)
        return entries


def _is_plain(scalar: yaml.Node) -> bool:
    return isinstance(scalar, yaml.ScalarNode) and scalar.style is None


def _scalar(text: str) -> bool | int | float | str | None:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) <= _MOST_DIGITS and _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text

"""YAML text as plain values, each with the line it stands in.

Scalars are read as people who know JSON or YAML 1.2 expect (https://yaml.org/spec/1.2.2/#103-core-schema),
not by YAML 1.1 as PyYAML does: only `true` and `false` are booleans, numbers are decimal, `1e-3` is one of
them, and dates, times, `on`, `1_000`, `0o17` or `007` are text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from tasks.config.problem import Location, Problem, shown_key

# A project nests 4 deep; PyYAML recurses, so the limit has to come before Python's.
_DEEPEST = 20
# Characters and values once every alias is written out; ten short lines of aliases can stand for billions.
_LARGEST_EXPANSION = 2 * 1024 * 1024
# Python refuses to convert longer ones (sys.set_int_max_str_digits); as a float they are infinite.
_MOST_DIGITS = 4300

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SURROGATE = re.compile("[\ud800-\udfff]")

# What PyYAML says, and what the person who made the mistake understands.
_PLAINER = (
    (r"'\t' that cannot start", "a tab stands here; YAML is indented and aligned with spaces"),
    ("while scanning an alias", "a value that starts with '*' needs quotes"),
    (
        "mapping values are not allowed here",
        "a ':' stands where no key can be; indent the line like its neighbours, or put the value in quotes",
    ),
    ("expected <block end>", "this line is not indented like the lines that it belongs to"),
    ("but found another document", "a second YAML document starts here; the file holds one"),
)


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
        yaml.YAMLError: `text` is no YAML, or uses a feature that is not accepted here; see `syntax_problem`.
    """
    root = _Composer(text).get_single_node()
    places: dict[Location, Place] = {(): Place(1, 1, "nothing")}
    problems: list[Problem] = []
    if root is None:
        return Document(None, places, ())
    value = _read(root, (), root.start_mark.line + 1, places, problems)
    return Document(value, places, tuple(problems))


def syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    """What PyYAML found wrong with `text`, in the user's words."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        return Problem(
            line=before.count("\n") + 1,
            column=error.position - before.rfind("\n"),
            message=f"the control character U+{error.character:04X} cannot stand in YAML",
        )
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem(1, f"no valid YAML: {error}")
    said = f"{error.context or ''} {error.problem}"
    message = next((plainer for sign, plainer in _PLAINER if sign in said), f"no valid YAML: {error.problem}")
    return Problem(error.problem_mark.line + 1, message, column=error.problem_mark.column + 1)


class _Composer(yaml.SafeLoader):
    """Text to nodes; refuses tags, and bounds depth and size before they can hurt."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        mark = event.start_mark
        if getattr(event, "tag", None) is not None:
            raise _refusal(f"the tag {shown_key(event.tag)} is not accepted; put text in quotes", mark)
        if self._depth > _DEEPEST:
            raise _refusal(f"nested more than {_DEEPEST} deep", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _refusal("an alias cannot stand inside of what it refers to", mark)
            return node
        if isinstance(node, yaml.ScalarNode) and _SURROGATE.search(node.value):
            raise _refusal("an escape stands for half a character; write the character itself", mark)
        self._sizes[node] = 1 + self._size_of_content(node)
        if self._sizes[node] > _LARGEST_EXPANSION:
            raise _refusal("too large once its aliases are written out", mark)
        return node

    def _size_of_content(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.MappingNode):
            return sum(self._sizes[key] + self._sizes[value] for key, value in node.value)
        if isinstance(node, yaml.SequenceNode):
            return sum(self._sizes[item] for item in node.value)
        return len(node.value)


def _refusal(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _read(
    node: yaml.Node, location: Location, line: int, places: dict[Location, Place], problems: list[Problem]
) -> object:
    """The value of `node`; adds its place and those of everything in it to `places`."""
    value: object
    if isinstance(node, yaml.MappingNode):
        kind, value = "a mapping", {}
    elif isinstance(node, yaml.SequenceNode):
        kind, value = "a list", []
    else:
        value = _scalar(node)
        kind = _kind(value, quoted=node.style is not None)
    places[location] = Place(line, node.start_mark.line + 1, kind)
    if isinstance(value, dict):
        for key, item, key_line in _entries(node, location, problems):
            value[key] = _read(item, (*location, key), key_line, places, problems)
    elif isinstance(value, list):
        for index, item in enumerate(node.value):
            value.append(_read(item, (*location, index), item.start_mark.line + 1, places, problems))
    return value


def _entries(
    mapping: yaml.MappingNode, location: Location, problems: list[Problem]
) -> list[tuple[str, yaml.Node, int]]:
    """Key, value and the key's line, each key once; what is wrong with the keys goes to `problems`."""
    entries: dict[str, tuple[yaml.Node, int]] = {}
    for key, value in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(line, "a key is text, not a mapping or a list", location))
        elif key.value == "<<" and key.style is None:
            problems.append(
                Problem(line, "merge keys (<<) are not part of YAML 1.2; write the keys out", location)
            )
        elif key.value in entries:
            first = entries[key.value][1]
            problems.append(
                Problem(line, f"this key stands twice, in lines {first} and {line}", (*location, key.value))
            )
        else:
            entries[key.value] = (value, line)
    return [(key, value, line) for key, (value, line) in entries.items()]


def _scalar(node: yaml.ScalarNode) -> bool | int | float | str | None:
    text: str = node.value
    if node.style is not None:
        return text
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


def _kind(scalar: object, quoted: bool) -> str:
    if isinstance(scalar, str):
        return "text in quotes" if quoted else "text"
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    return kinds.get(type(scalar), "nothing")

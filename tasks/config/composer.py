"""YAML text to the nodes of one document, within bounds, and what is said about text that is none."""

import re
from typing import Any

import yaml

from tasks.config.problem import Problem, shown_key

# A project nests 4 deep; PyYAML recurses, so the limit has to come before Python's.
_DEEPEST = 20
# What a document may hold once every alias is written out, since ten short lines of aliases can stand for
# billions of values: characters, and for each value as much as a short one. About a thousand models.
_LARGEST = 2 * 1024 * 1024
_VALUE = 32
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


def compose(text: str) -> yaml.Node | None:
    """The root node of `text`; None when it holds nothing but comments.

    Raises:
        yaml.YAMLError: `text` is no YAML, holds more than one document, or has tags, deep nesting or aliases
            that stand for too much; `syntax_problem` says so in the user's words.
    """
    return _Composer(text).get_single_node()


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
    if isinstance(error, _Refusal):
        return Problem(error.problem_mark.line + 1, str(error.problem), column=error.problem_mark.column + 1)
    said = f"{error.context or ''} {error.problem}"
    message = next((plainer for sign, plainer in _PLAINER if sign in said), f"no valid YAML: {error.problem}")
    return Problem(error.problem_mark.line + 1, message, column=error.problem_mark.column + 1)


class _Composer(yaml.SafeLoader):
    """Text to nodes; refuses tags, and bounds depth and size before they can hurt."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._size = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: yaml.Mark = event.start_mark
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = shown_key(tag.replace("tag:yaml.org,2002:", "!!"))
            raise _refusal(f"the tag {short} is not accepted; put text in quotes", mark)
        if self._depth > _DEEPEST:
            raise _refusal(f"nested more than {_DEEPEST} deep", mark)
        size_before = self._size
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _refusal("an alias cannot stand inside of what it refers to", mark)
            self._size += self._sizes[node]
        else:
            self._size += _VALUE + _text_size(node, mark)
            self._sizes[node] = self._size - size_before
        if self._size > _LARGEST:
            raise _refusal("the file holds too many values, with what its aliases stand for", mark)
        return node


def _text_size(node: yaml.Node, mark: yaml.Mark) -> int:
    if not isinstance(node, yaml.ScalarNode):
        return 0
    if _SURROGATE.search(node.value):
        raise _refusal("an escape stands for half a character; write the character itself", mark)
    return len(node.value)


class _Refusal(yaml.MarkedYAMLError):
    """Valid YAML that is not accepted here."""


def _refusal(problem: str, mark: yaml.Mark) -> _Refusal:
    return _Refusal(problem=problem, problem_mark=mark)

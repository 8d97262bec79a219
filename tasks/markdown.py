"""Markdown for Prefect's pages in which text from outside stays text."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~&-])")


def text(value: object) -> str:
    """`value` as plain text on one line, also within a table."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def code(value: object) -> str:
    """`value` as a code span on one line; a fence of backticks longer than any in it (CommonMark 6.1)."""
    line = " ".join(str(value).split()).replace("|", "\\|")
    fence = "`" * (_longest_run(line) + 1)
    return f"{fence}{line}{fence}" if fence == "`" else f"{fence} {line} {fence}"


def block(value: str, language: str) -> str:
    """`value` as a fenced code block (CommonMark 4.5)."""
    fence = "`" * max(3, _longest_run(value) + 1)
    return f"{fence}{language}\n{value}\n{fence}\n"


def _longest_run(value: str) -> int:
    return max((len(run) for run in re.findall("`+", value)), default=0)

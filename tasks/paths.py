"""Patterns for files of a repository, as `modelflight.yaml` names them."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from posixpath import normpath


def matches(patterns: Iterable[str], file: str) -> bool:
    """Whether one of the patterns stands for `file`, a path from the repository's top.

    A pattern is a file, a folder with all below it, or a glob: `*`, `?` and `[...]` stay within one folder,
    `**` is any number of folders, and a folder that a glob finds also means all below it. A name that exists
    goes before a glob: `wine[1].ipynb` is that file, too.
    """
    return any(_matches(normpath(pattern), file) for pattern in patterns)


def _matches(pattern: str, file: str) -> bool:
    return (
        pattern == "." or f"{file}/".startswith(f"{pattern}/") or _fits(pattern.split("/"), file.split("/"))
    )


def _fits(wanted: list[str], parts: list[str]) -> bool:
    """Matches part by part, all readings of `**` at once: their number never multiplies the work."""
    if wanted[-1] == "**":
        wanted = [*wanted[:-1], "*"]  # as everything below a folder counts
    readings = _skipping(wanted, {0})
    for part in parts:
        readings = _skipping(
            wanted,
            {
                at if wanted[at] == "**" else at + 1
                for at in readings
                if wanted[at] == "**" or fnmatchcase(part, wanted[at])
            },
        )
        if len(wanted) in readings:
            return True
        if not readings:
            break
    return False


def _skipping(wanted: list[str], readings: set[int]) -> set[int]:
    """The readings, and those in which a `**` ends here."""
    found = set(readings)
    for at, part in enumerate(wanted):
        if part == "**" and at in found:
            found.add(at + 1)
    return found

"""Who approves a release that was started on the command line: the person at the terminal."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployments.console import columns, printable
from tasks.git import git_at
from tasks.gitops.message import one_line
from tasks.release import Approval

if TYPE_CHECKING:
    from tasks.ask_approval import Question

Approver = Callable[["Question"], Approval]


def approver(reason: str | None) -> Approver | None:
    """Says yes where a `reason` was given beforehand, else asks on the terminal; None without a terminal."""
    if reason is not None:
        return lambda _question: _answer(granted=True, reason=reason)
    return _ask if sys.stdin.isatty() and sys.stderr.isatty() else None


def _ask(question: "Question") -> Approval:
    from tasks.gate.decide import describe

    lines = [f"{question.release_id}: {question.image.reference}", *columns(describe(question.decision))]
    click.echo(printable("\n".join(["", *lines, ""])), err=True)
    granted = click.confirm("Bring it into the fleet?", default=False, err=True)
    reason = click.prompt("Why", default="", show_default=False, err=True)
    return _answer(granted=granted, reason=reason)


def _answer(*, granted: bool, reason: str) -> Approval:
    return Approval(granted, _name(), one_line(reason), datetime.now(UTC))


def _name() -> str:
    """The user's name as Git knows it, or as the system does."""
    name = one_line(str(git_at(Path.cwd()).config("--default", "", "--get", "user.name")))
    if name:
        return name
    import getpass

    return getpass.getuser()

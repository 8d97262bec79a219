"""What the command line shows: progress and errors on standard error, the result on standard output."""

import dataclasses
import json
import logging
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from tasks.errors import ModelflightError

# Operating system commands such as a new window title, other escape sequences, and lone control characters.
_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def printable(text: str) -> str:
    """`text` without what a terminal would act upon: it may come from a commit, a cell or a server."""
    return _CONTROL.sub("", text)


def emit(document: Mapping[str, Any], text: str, output: str) -> None:
    """Prints the result of a verb: `text` for people, or `document` as one JSON document."""
    click.echo(json.dumps(document, indent=2, allow_nan=False) if output == "json" else printable(text))


def emit_error(error: ModelflightError, output: str) -> None:
    """Prints an error: its parts below each other on standard error, or as one JSON document."""
    if output == "json":
        click.echo(json.dumps({"error": parts(error)}, indent=2))
        return
    click.secho(printable(f"Error: {error.what}"), fg="red", bold=True, err=True)
    for label, part in (("where", error.where), ("why", error.why), ("next", error.next_step)):
        if part:
            first, *rest = map(printable, part.splitlines())
            click.echo("\n".join([f"  {label:<6} {first}", *(" " * 9 + line for line in rest)]), err=True)


def parts(error: ModelflightError) -> dict[str, str]:
    """An error's parts for JSON documents."""
    told = {"what": error.what, "where": error.where, "why": error.why, "next": error.next_step}
    return {**told, "type": type(error).__name__}


def columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The lines of a table, its header first, indented."""
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def warn(text: str) -> None:
    """Says on standard error what the user may not have meant."""
    click.secho(printable(f"Note: {text}"), fg="yellow", err=True)


def plain(value: object) -> Any:
    """`value` as what JSON knows.

    Data classes become objects, paths, ids and times become strings, NaN and infinities become null.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path | UUID) else value


class StepLines(logging.Handler):
    """Shows the steps of a release as they end; on a terminal, also the one that runs.

    Lines look like `compile notebook     4.8 s  4 steps (...)`. The handler shows the records that
    `tasks.step.report` makes; all others are Prefect's own.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._began = time.monotonic()
        self._status: Any = None
        self._step = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Shows what the record tells of a step."""
        line = getattr(record, "modelflight_line", "")
        match getattr(record, "modelflight_event", None):
            case "started":
                self.begin(getattr(record, "task_run_name", ""))
            case "progress":
                self._spin(f"{self._step}: {line}")
            case "ended":
                self.end(line)

    def begin(self, step: str) -> None:
        """A step begins; shown while it runs."""
        self._step, self._began = step, time.monotonic()
        self._spin(step)

    def end(self, outcome: str) -> None:
        """The step ended; its line stays."""
        self._spin(None)
        seconds = time.monotonic() - self._began
        click.echo(f"  {self._step:<17} {seconds:6.1f} s  {printable(outcome)}", err=True)

    def _spin(self, text: str | None) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        if text is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.text import Text

            self._status = Console(stderr=True).status(Text(printable(text)))
            self._status.start()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """While it is open, the steps of Prefect flows in this process are shown.

        Prefect replaces the handlers of its loggers when it is imported; that must have happened before.
        """
        logger = logging.getLogger("prefect.task_runs")
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            self.close()

    def close(self) -> None:
        """Removes the line of the running step from the terminal."""
        self._spin(None)
        super().close()


def show_progress(line: str) -> None:
    """Shows a line of progress of a verb that runs without Prefect."""
    click.echo(f"  {printable(line)}", err=True)

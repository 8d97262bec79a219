"""What the verbs of the command line share: `--output`, errors as messages and exit codes, options."""

import functools
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from deployments import console
from tasks.address import redact
from tasks.errors import ModelflightError

EXIT_REFUSED = 10
_EXIT_INTERRUPTED = 130  # as a shell reports SIGINT
_INTERRUPTED = ModelflightError(
    "Interrupted.", next_step="Give the same command again: it goes on where this one stopped."
)

directory_argument = click.argument("directory", type=click.Path(path_type=Path), default=".")
model_option = click.option("--model", metavar="NAME", help="Which model; needed when there are several.")
parameter_option = click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Sets a parameter; repeatable.",
)


def verb(function: Callable[..., int | None]) -> Callable[..., None]:
    """Gives a command the `--output` option and turns errors into messages and exit codes."""

    @click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Form of the result.",
    )
    @functools.wraps(function)
    def run(output: str, **arguments: Any) -> None:
        try:
            code = function(output=output, **arguments) or 0
        except ModelflightError as error:
            console.emit_error(error, output)
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort):
            console.emit_error(_INTERRUPTED, output)
            code = _EXIT_INTERRUPTED
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is owed a document
            failure = _explained(error)
            console.emit_error(failure, output)
            code = _EXIT_INTERRUPTED if failure is _INTERRUPTED else failure.exit_code
        sys.exit(code)

    return run


def _explained(error: Exception) -> ModelflightError:
    """What to tell of an exception that is none of the error tree; a mistake of ours shows its traceback."""
    behind: BaseException | None = error
    while behind is not None:
        # Ctrl-C ends Prefect's own API too, and that is then missed.
        if isinstance(behind, KeyboardInterrupt):
            return _INTERRUPTED
        behind = behind.__context__
    if isinstance(error, OSError):
        what = f"The operating system refused something: {error.strerror or error}."
        return ModelflightError(what, where=str(error.filename or ""))
    traceback.print_exc()
    what = f"Modelflight itself failed: {type(error).__name__}: {redact(str(error))}"
    return ModelflightError(what, next_step="Report it with the lines above.")

"""Finishes a sync: a table of what was compared, and the flow run's final state."""

from collections.abc import Iterable, Mapping, Sequence

from prefect import State
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from tasks.address import redact
from tasks.comparison import Comparison, Registration
from tasks.errors import ModelflightError
from tasks.release import CommitSha
from tasks.step import leave_artifact


def finish_sync(
    unchanged: Iterable[Registration],
    heads: Mapping[str, CommitSha],
    comparisons: Sequence[Comparison],
    failures: Mapping[str, Exception],
) -> State[None]:
    """Failed, with their names, where something failed; it ends after all the others were done."""
    rows = [
        *(_row(each.name, "", heads[each.name], None, "as at the last comparison") for each in unchanged),
        *(
            _row(each.registration.name, found.model, each.head, found.newest, found.outcome)
            for each in comparisons
            for found in each.findings
        ),
        *(_row(name, "", None, None, f"failed: {_what(error)}") for name, error in failures.items()),
    ]
    leave_artifact(
        create_table_artifact,
        key="sync-models",
        table=rows,
        description="Each registered branch's head against the newest releases that were started.",
    )
    for name, error in failures.items():
        get_run_logger().error("%s: %s", name, redact(str(error)))
    if failures:
        return Failed(message="; ".join(f"{name}: {_what(error)}" for name, error in failures.items()))
    missing = [f"{each.registration.name}.{found.model}" for each in comparisons for found in each.missing]
    return Completed(message=f"Started: {', '.join(missing)}." if missing else "Nothing was missing.")


def _row(
    registration: str, model: str, head: CommitSha | None, newest: CommitSha | None, outcome: str
) -> dict[str, str]:
    return {
        "registration": registration,
        "model": model,
        "head": (head or "")[:12],
        "newest release": (newest or "")[:12],
        "outcome": outcome,
    }


def _what(error: Exception) -> str:
    return error.what if isinstance(error, ModelflightError) else redact(str(error))

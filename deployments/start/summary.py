"""A release's end as Markdown, for the page of a CI job."""

from deployments.start.ending import Ending
from tasks.markdown import block, code, text


def summary(ending: Ending) -> str:
    """The verdict, what was published, and the gate's table."""
    rows = {
        "image": ending.image and code(ending.image),
        "fleet commit": ending.fleet_commit and code(ending.fleet_commit),
        "run": ending.page and f"<{ending.page}>",
    }
    parts = [
        f"## {text(ending.title)}",
        text(ending.reasons),
        _failure(ending),
        _table(["", ""], [[name, value] for name, value in rows.items() if value]),
    ]
    if ending.gate:
        names = list(ending.gate[0])
        cells = [[text(row.get(name, "")) for name in names] for row in ending.gate]
        parts += ["### Gate", _table([text(name) for name in names], cells)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _failure(ending: Ending) -> str:
    error = ending.error
    if error is None:
        return ""
    why = block(error.why, "text").rstrip("\n") if error.why else ""
    parts = [f"**{text(error.what)}**", error.where and code(error.where), why, text(error.next_step)]
    return "\n\n".join(part for part in parts if part)


def _table(names: list[str], rows: list[list[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""

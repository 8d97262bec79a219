"""Actions as lines for people."""

from collections.abc import Iterable

from tasks.deployment.desired import Timetable
from tasks.deployment.plan import Action, Change

_LONGEST = 60


def tell(action: Action) -> str:
    """One line: what is done to what, and the fields that differ; long values are left out."""
    what = action.title if action.kind == "deployment" else f"{action.kind} {action.title}"
    changes = "; ".join(map(_told, action.changes))
    return f"{action.do.value:<9} {what}" + (f": {changes}" if changes else "")


def _told(change: Change) -> str:
    match change.field, change.before, change.after:
        case "tags", tuple() as before, tuple() as after:
            return f"tags {_moved(before, after)}"
        case "parameters", dict() as before, dict() as after:
            differ = [key for key in before | after if before.get(key) != after.get(key)]
            return f"parameters {', '.join(differ)}"
        case "timetable", before, after:
            return f"schedule {_when(before)} -> {_when(after)}"
        case name, before, after:
            values = f" {before} -> {after}"
            shown = isinstance(after, str | int) and "\n" not in values and len(values) <= _LONGEST
            return name.replace("_", " ") + (values if shown else "")


def _moved(before: Iterable[str], after: Iterable[str]) -> str:
    gone = [f"-{tag}" for tag in before if tag not in after]
    come = [f"+{tag}" for tag in after if tag not in before]
    return " ".join([*gone, *come]) or "in another order"


def _when(timetable: object) -> str:
    if not isinstance(timetable, Timetable):
        return "none"
    rule = timetable.rule
    return f"{rule['cron']} {rule.get('timezone')}" if "cron" in rule else f"every {rule.get('interval')} s"

"""Whether a schedule's run that comes late is still worth its training; pure."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from tasks.model import Schedule

_GRACE = timedelta(minutes=15)


def too_late(schedule: Schedule, due: datetime, started: datetime, later: datetime | None) -> str:
    """Why the run that was `due`, and `started` then, is skipped; empty when it is not.

    `later` is when a later run of the schedule was due that waits already. With `catch_up: none` a run has a
    quarter of an hour to start, or until the next one is due, if that is less.
    """
    if schedule.catch_up == "latest":
        return f"it was due at {_told(due)}, and the one due at {_told(later)} waits already" if later else ""
    following = next(CronSim(schedule.cron, due.astimezone(ZoneInfo(schedule.timezone))))
    if started > due + min(_GRACE, following - due):
        return (
            f"it was due at {_told(due)}, started at {_told(started)}, and `catch_up: none` makes up for none"
        )
    return ""


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"

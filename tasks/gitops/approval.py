"""A person's approval as trailers of the fleet's commit, and read back from there."""

from collections.abc import Mapping
from datetime import datetime

from tasks.release import Approval

_BY, _AT, _REASON = "Approved-By", "Approved-At", "Approval-Reason"


def approval_trailers(approval: Approval | None) -> dict[str, str]:
    """Who approved, when, and why; none where nobody was asked."""
    if approval is None:
        return {}
    reason = {_REASON: approval.reason} if approval.reason else {}
    return {_BY: approval.by, _AT: approval.at.isoformat(timespec="seconds"), **reason}


def approval_of(trailers: Mapping[str, str]) -> Approval | None:
    """The approval that a commit with these trailers had; None where they tell of none."""
    try:
        return Approval(
            granted=True,
            by=trailers[_BY],
            reason=trailers.get(_REASON, ""),
            at=datetime.fromisoformat(trailers[_AT]),
        )
    except (KeyError, ValueError):
        return None

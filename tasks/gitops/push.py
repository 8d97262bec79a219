"""What became of a push, read from what `git push --porcelain` says; pure."""

import re
from enum import Enum, auto


class Outcome(Enum):
    """LOST: another commit got there first. UNKNOWN: the connection failed, the push may have landed."""

    LANDED = auto()
    LOST = auto()
    REFUSED = auto()
    UNKNOWN = auto()


# The ways in which servers say that the branch moved on; "[rejected]" is this side's own finding, and without
# force and tags there is no other reason for it.
_RACE = re.compile(
    r"^!.*\t\[(?:rejected\]|remote rejected\] .*(?:cannot lock ref|failed to lock|incorrect old value|"
    r"failed to update ref|fetch first|non-fast-forward|already exists))",
    re.MULTILINE,
)
_REASON = re.compile(r"^!.*\t\[(?:remote )?rejected\] \((.*)\)$", re.MULTILINE)
# Hosts that refuse before the protocol starts: reading works, writing does not. Trying again cannot help.
_DENIED = re.compile(
    r"returned error: 40[13]|denied|read[- ]only|not allowed|not enabled|authentication failed|"
    r"could not read username",
    re.IGNORECASE,
)


def outcome(status: int, porcelain: str, stderr: str) -> Outcome:
    """What a push of one branch ended with: exit status, standard output and standard error."""
    if status == 0:
        return Outcome.LANDED
    if _RACE.search(porcelain):
        return Outcome.LOST
    if _REASON.search(porcelain) or _DENIED.search(stderr):
        return Outcome.REFUSED
    return Outcome.UNKNOWN


def refusal(porcelain: str, stderr: str) -> str:
    """Why the push was refused: Git's reason and then the server's own messages; not redacted."""
    server = [line for line in stderr.splitlines() if line.startswith("remote:")]
    return "\n".join([*_REASON.findall(porcelain), *(server or stderr.splitlines())])

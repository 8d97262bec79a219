"""What automations there should be in Prefect, in the form of its API.

They watch runs of the release flow that a deployment started: a run from the command line has no worker
that could take it up again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from tasks.deployment.desired import HEARTBEAT, RELEASE_FLOW
from tasks.release import Verdict

PREFIX = "Modelflight: "
NOTIFIED = "modelflight"  # how the names of notification blocks begin that are told of releases

AT_REST = "modelflight.release.at-rest"  # the event of a run that ended, after its last heartbeat

_STATE = "prefect.flow-run."
_HEARTBEAT = f"{_STATE}heartbeat"
_FAILURES = ("Failed", "TimedOut", "Crashed")
# Each state that ends a run or leaves no process behind: what a run is not dead in.
_AT_REST = (
    *("Completed", "Skipped", *_FAILURES, "Cancelling", "Cancelled"),
    *("Suspended", "Paused", "Scheduled", "AwaitingRetry", "Late", "AwaitingConcurrencySlot"),
)
_AFTER_SUSPENSION = ("Resuming", "Pending", "Running", *_AT_REST)
_TOLD = (Verdict.REFUSED, Verdict.ROLLED_BACK, Verdict.PROMOTION_FAILED)

_SUBJECT = "{{ deployment.name or flow_run.name }}: {{ flow_run.state.name | lower }}"
_BODY = """\
Release {{ flow_run.name }} of the model {{ flow_run.parameters.model or "" }} ended: \
{{ flow_run.state.name | lower }}.
{% if flow_run.state.message %}
{{ flow_run.state.message }}
{% endif %}
Repository: {{ flow_run.parameters.repository }}
Commit: {{ flow_run.parameters.commit }}
Run: {{ flow_run | ui_url or flow_run.id }}
"""


@dataclass(frozen=True)
class Automation:
    """An automation: `trigger` and `actions` hold what has to be so, as JSON of Prefect's API.

    Lists of events and labels are sorted.
    """

    name: str
    description: str
    trigger: Mapping[str, Any]
    actions: tuple[Mapping[str, Any], ...]

    @property
    def title(self) -> str:
        """Its name."""
        return self.name


def automations(approval: timedelta, notified: Iterable[UUID]) -> list[Automation]:
    """All automations; `notified` are the ids of the notification blocks, without which nobody is told."""
    told = notifications(notified)
    return [resumed_zombies(), ended_approvals(approval), *([told] if told else [])]


def resumed_zombies(silence: timedelta = 3 * HEARTBEAT) -> Automation:
    """A run whose heartbeats stop for `silence` (at least 10 seconds) is scheduled again.

    A worker then takes up the same run, which skips the steps that were done. How often is the flow's to
    bound. Source: https://docs.prefect.io/v3/advanced/detect-zombie-flows
    """
    rested = {*_AT_REST, *map(_state_name, Verdict)}
    return Automation(
        name=f"{PREFIX}dead releases go on",
        description="A release whose process and worker died is scheduled again; finished steps are skipped.",
        trigger=_trigger(
            "Proactive",
            within=silence,
            after=[_HEARTBEAT],
            expect=[_HEARTBEAT, AT_REST, *(f"{_STATE}{name}" for name in rested)],
        ),
        actions=(
            {
                "type": "change-flow-run-state",
                "state": "SCHEDULED",
                "name": "AwaitingRetry",
                "message": f"No heartbeat for {silence.total_seconds():.0f} s: its process is dead.",
                "force": False,
            },
        ),
    )


def ended_approvals(patience: timedelta) -> Automation:
    """A run that waits for an answer for longer than `patience` goes on with the form's default: no."""
    return Automation(
        name=f"{PREFIX}approvals end",
        description=f"A release that nobody answers for {_hours(patience)} hours is refused.",
        trigger=_trigger(
            "Proactive",
            within=patience,
            after=[f"{_STATE}Suspended"],
            expect=[f"{_STATE}{name}" for name in _AFTER_SUSPENSION if name != "Suspended"],
        ),
        actions=({"type": "resume-flow-run"},),
    )


def notifications(blocks: Iterable[UUID]) -> Automation | None:
    """Each of the notification `blocks` tells of releases that did not go well; None without blocks."""
    actions = [
        {"type": "send-notification", "block_document_id": str(block), "subject": _SUBJECT, "body": _BODY}
        for block in sorted(blocks)
    ]
    if not actions:
        return None
    names = [*map(_state_name, _TOLD), *_FAILURES]
    return Automation(
        name=f"{PREFIX}releases that did not go well",
        description=f"Told to every notification block whose name begins with {NOTIFIED}.",
        trigger=_trigger("Reactive", expect=[f"{_STATE}{name}" for name in names]),
        actions=tuple(actions),
    )


def _trigger(
    posture: str, *, expect: list[str], after: Iterable[str] = (), within: timedelta = timedelta(0)
) -> dict[str, Any]:
    return {
        "type": "event",
        "posture": posture,
        "match": {"prefect.resource.id": f"{_STATE}*"},
        "match_related": [
            {"prefect.resource.role": "flow", "prefect.resource.name": RELEASE_FLOW},
            {"prefect.resource.role": "deployment", "prefect.resource.id": "prefect.deployment.*"},
        ],
        "for_each": ["prefect.resource.id"],
        "after": sorted(after),
        "expect": sorted(expect),
        "threshold": 1,
        "within": within.total_seconds(),
    }


def _hours(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 3600:g}"


def _state_name(verdict: Verdict) -> str:
    return verdict.replace("_", " ").capitalize()

"""The difference between what there should be and what there is, as a list of actions.

The file wins, except for what people pause: a deployment, its schedule or an automation that was switched off
by hand stays so. Work queues, job variables and schedules that were added by hand are left alone, too. A
deployment whose model vanished is paused and tagged `gone`; only by that tag it is unpaused when the model
comes back, so one that a person paused before stays paused.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from tasks.deployment.automations import PREFIX, Automation
from tasks.deployment.desired import TAG, Deployment, Timetable

GONE = "gone"

# What Prefect adds its defaults to, and people their variables.
_OPEN = frozenset({"rule", "environment", "trigger", "actions"})

W = TypeVar("W", Deployment, Automation, Timetable)


class Do(StrEnum):
    """What an action does."""

    CREATE = "create"
    UPDATE = "update"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    DELETE = "delete"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class FoundDeployment:
    """A deployment that Prefect has, and whether it is paused; `schedule` is the id of our schedule on it."""

    id: UUID
    deployment: Deployment
    paused: bool
    schedule: UUID | None
    job_variables: Mapping[str, Any]


@dataclass(frozen=True)
class FoundAutomation:
    """An automation that Prefect has, with all its fields; `enabled` is a person's to decide."""

    id: UUID
    automation: Automation
    enabled: bool
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A field that differs."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Action:
    """One thing to do; what is to be deleted or paused has no `wanted`, what is to be created no `found`."""

    do: Do
    kind: str
    title: str
    changes: tuple[Change, ...] = ()
    wanted: Deployment | Automation | None = None
    found: FoundDeployment | FoundAutomation | None = None


def plan_deployments(
    wanted: Iterable[Deployment],
    found: Iterable[FoundDeployment],
    *,
    known: Callable[[str], bool],
    prune: bool,
) -> list[Action]:
    """What to do so that `wanted` is there.

    `known` tells of the name of a notebook repository whether `wanted` has all its models; what others have
    stays as it is. `prune` deletes where a model vanished.
    """
    existing = {each.deployment.title: each for each in found}
    actions = [_fitted(each, existing.pop(each.title, None)) for each in wanted]
    left = (each for each in existing.values() if TAG in each.deployment.tags)
    return actions + [
        _vanished(each, prune)
        for each in left
        if each.deployment.repository is None or known(each.deployment.repository)
    ]


def plan_automations(wanted: Iterable[Automation], found: Iterable[FoundAutomation]) -> list[Action]:
    """What to do so that `wanted` is there once, and no other of ours."""
    rest = list(found)
    actions = []
    for each in wanted:
        same = next((other for other in rest if other.automation.name == each.name), None)
        if same is None:
            actions.append(Action(Do.CREATE, "automation", each.title, wanted=each))
            continue
        rest.remove(same)
        changes = differences(each, same.automation)
        do = Do.UPDATE if changes else Do.UNCHANGED
        actions.append(Action(do, "automation", each.title, changes, each, same))
    ours = [each for each in rest if TAG in each.tags and each.automation.name.startswith(PREFIX)]
    return actions + [Action(Do.DELETE, "automation", each.automation.title, found=each) for each in ours]


def differences(wanted: W, found: W) -> tuple[Change, ...]:
    """The fields of `found` that are not as in `wanted`."""
    pairs = (
        (field.name, getattr(found, field.name), getattr(wanted, field.name)) for field in fields(wanted)
    )
    return tuple(
        Change(name, before, after)
        for name, before, after in pairs
        if not (_holds(before, after) if name in _OPEN else _same(before, after))
    )


def _fitted(wanted: Deployment, found: FoundDeployment | None) -> Action:
    if found is None:
        return Action(Do.CREATE, "deployment", wanted.title, wanted=wanted)
    changes = differences(wanted, found.deployment)
    do = Do.UPDATE if changes else Do.UNCHANGED
    if GONE in found.deployment.tags:
        do = Do.UNPAUSE
    return Action(do, "deployment", wanted.title, changes, wanted, found)


def _vanished(found: FoundDeployment, prune: bool) -> Action:
    do = Do.UNCHANGED if found.paused or GONE in found.deployment.tags else Do.PAUSE
    if prune:
        do = Do.DELETE
    return Action(do, "deployment", found.deployment.title, found=found)


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Timetable) and isinstance(found, Timetable):
        return not differences(wanted, found)
    return bool(found == wanted)


def _holds(found: Any, wanted: Any) -> bool:
    """Whether `found` is `wanted`, or has all of it and more."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and _holds(found[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(_holds, found, wanted))
    return bool(found == wanted)

"""Bringing a release's image into the fleet with exactly one commit, however often it is tried."""

import random
import re
import time
from collections.abc import Mapping

from tasks.errors import ChampionChanged, FleetRefused, FleetTargetInvalid, InvalidInput
from tasks.gitops.location import Location, locate
from tasks.gitops.message import commit_message
from tasks.gitops.repository import FleetRepository, cloned
from tasks.gitops.splice import splice
from tasks.gitops.target import FleetTarget
from tasks.release import CommitSha, FleetCommit, ReleaseId

_RESTARTS = 8
_LONGEST_PAUSE = 3.0  # seconds
_PINNED = re.compile(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}@sha256:[0-9a-f]{64}")


def serving_image(target: FleetTarget, before: ReleaseId | None) -> str:
    """The image reference that the fleet carried before the release `before`, as it is written there.

    That is the branch's head, or, when the release's commit is on the branch already, that commit's parent: a
    repeated release compares with the same champion. Without `before` it is the head.

    Raises:
        FleetTargetInvalid: no branch, no path, or not exactly one place that can be changed.
        RepositoryUnreachable: the repository cannot be read.
        RepositoryRefused: there is no such repository, or not for this credential.
    """
    with cloned(target) as fleet:
        released = fleet.released(before) if before else []
        return locate(fleet, f"{released[0]}^" if released else fleet.head()).place.image.value


def released_ids(target: FleetTarget) -> list[str]:
    """The ids of all releases that are on the target's branch, newest first.

    Raises:
        As `serving_image`.
    """
    with cloned(target) as fleet:
        return fleet.release_ids()


def released_trailers(target: FleetTarget, release_id: ReleaseId) -> dict[str, str]:
    """The trailers of the commit that brought the release; none when there is no such commit yet.

    Raises:
        As `serving_image`.
    """
    with cloned(target) as fleet:
        commits = fleet.released(release_id)
        return fleet.trailers(commits[0]) if commits else {}


def bump(
    target: FleetTarget,
    *,
    image: str,
    release_id: ReleaseId | None,
    subject: str,
    trailers: Mapping[str, str],
    expected: str | None = None,
) -> FleetCommit:
    """Sets the target's image to `image` (`repository:tag@digest`) and its rollout id to `release_id`.

    A release that is on the branch already, or an image and rollout id that stand there already, make no
    commit. A push that loses a race starts again from the new head. Without a `release_id` only the head
    counts and the rollout id stays. `expected` is the reference that the caller means to replace, as it is
    written there.

    Raises:
        InvalidInput: the image does not belong to the target, or the message cannot be written.
        FleetTargetInvalid: no branch, no path, or not exactly one place that can be changed.
        FleetRefused: the server does not take the commit, others were faster each time, or the release
            brought another image before.
        ChampionChanged: another image than `expected` stands there; nothing was pushed.
        RepositoryUnreachable: the repository cannot be read, or the connection failed in the push.
        RepositoryRefused: there is no such repository, or not for this credential.
    """
    _check_image(target, image)
    message = commit_message(subject, release_id, trailers)
    with cloned(target) as fleet:
        for attempt in range(_RESTARTS + 1):
            if attempt:
                _pause(attempt)
                fleet.refresh()
            head = fleet.head()
            done = _done(fleet, head, image, release_id)
            if done:
                return done
            location = locate(fleet, head)
            _check_expected(target, expected, location.place.image.value)
            file = location.place.file
            content = splice(location.place, location.content, image, release_id)
            commit = fleet.commit(head, file, content, message)
            if fleet.push(commit):
                return _fleet_commit(fleet, commit, file, created=True, current=True)
    raise FleetRefused(
        "The bump did not reach the fleet repository.",
        where=target.where,
        why=f"Other commits reached the branch first, {_RESTARTS + 1} times in a row.",
        next_step="Bump again when fewer commits arrive there.",
    )


def _done(fleet: FleetRepository, head: str, image: str, release_id: ReleaseId | None) -> FleetCommit | None:
    """The commit that brought this release's image, when there is nothing left to do."""
    location = _located(fleet, head)
    # The release's own commit counts even when the branch moved on: bringing the image back would undo what
    # came later, be it the next release or a person's revert.
    for commit in fleet.released(release_id) if release_id else ():
        brought = _located(fleet, commit)
        if release_id and brought and not _same(brought, image):
            raise _other_image(fleet.target, release_id, brought, image)
        if brought:
            current = location is not None and _same(location, image)
            return _fleet_commit(fleet, commit, brought.place.file, created=False, current=current)
    if location and location.carries(image, release_id):
        file = location.place.file
        return _fleet_commit(fleet, fleet.last_change(file), file, created=False, current=True)
    return None


def _check_expected(target: FleetTarget, expected: str | None, found: str) -> None:
    if expected not in (None, found):
        raise ChampionChanged(
            "The fleet's image changed since the gate compared with it.",
            where=target.where,
            why=f"The gate compared with {expected}; now {found} stands there.",
            next_step="Release again in a new flow run: its gate compares with what serves now.",
        )


def _same(location: Location, image: str) -> bool:
    """Whether the image stands there; the digest decides, not the tag."""
    return _digest(location.place.image.value) == _digest(image)


def _digest(reference: str) -> str:
    return reference.rpartition("@")[2]


def _other_image(target: FleetTarget, release_id: ReleaseId, brought: Location, image: str) -> FleetRefused:
    attempt = int(release_id.rpartition("-")[2])
    return FleetRefused(
        "This release brought another image already.",
        where=f"{target.where}, release {release_id}",
        why=f"It brought {_digest(brought.place.image.value)} and now has {_digest(image)}: the notebook "
        "does not give the same model twice.",
        next_step=f"Release it with `--attempt {attempt + 1}`, or fix the notebook's random seeds.",
    )


def _located(fleet: FleetRepository, commit: str) -> Location | None:
    """The place as it was at an earlier commit, if it was there."""
    try:
        return locate(fleet, commit)
    except FleetTargetInvalid:
        return None


def _fleet_commit(
    fleet: FleetRepository, commit: CommitSha, file: str, *, created: bool, current: bool
) -> FleetCommit:
    return FleetCommit(commit, fleet.target.branch, file, fleet.diff(commit, file), created, current)


def _check_image(target: FleetTarget, image: str) -> None:
    if not image.startswith(target.image) or not _PINNED.fullmatch(image.removeprefix(target.image)):
        raise InvalidInput(
            "The image cannot be brought into the fleet.",
            where=image,
            why=f"It is not {target.image}:<tag>@sha256:<64 hex digits>.",
            next_step="Give the packed image's full reference; the fleet carries no image without a digest.",
        )


def _pause(attempt: int) -> None:
    """Waits longer with every loss, and never in step with the other writers."""
    longest = min(_LONGEST_PAUSE, 0.1 * 2**attempt)
    time.sleep(random.uniform(0.0, longest))  # noqa: S311 - no secret

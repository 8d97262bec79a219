"""The comparison of a branch's head with the releases that were started: what is missing, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from tasks.release import CommitSha, Verdict
from tasks.start import Start

SUPERSEDED = Verdict.SUPERSEDED.capitalize()  # the state's name in Prefect

_MOST_ATTEMPTS = 5  # of one commit; where no run can begin, a sync would start one after the other


@dataclass(frozen=True)
class Registration:
    """A registered notebook repository: the name of its block, its address, and the branch to release."""

    name: str
    address: str
    branch: str


@dataclass(frozen=True)
class Deployed:
    """The deployment of a model.

    `started` and `void` are the commits that its runs are for, by their first 12 digits; those of `started`
    newest run first. Void is a run that never began to release: it gave way to a newer commit, which may
    since have left the branch, or it crashed before.
    """

    id: UUID
    paused: bool
    started: tuple[str, ...] = ()
    void: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a comparison says of one model: its newest release (None: there is none), and what to start.

    `outcome` says why something is to be started, or why nothing is.
    """

    model: str
    newest: CommitSha | None
    outcome: str
    start: Start | None = None


@dataclass(frozen=True)
class Comparison:
    """A registered repository's head, and what it was found to need."""

    registration: Registration
    head: CommitSha
    findings: tuple[Finding, ...]

    @property
    def models(self) -> frozenset[str]:
        """The models that there are at the head."""
        return frozenset(found.model for found in self.findings)

    @property
    def missing(self) -> tuple[Finding, ...]:
        """Those with something to start."""
        return tuple(found for found in self.findings if found.start)


Changed = Callable[[CommitSha | None], frozenset[str]]
"""The models of the head that changed since a commit of the branch; since None: all of them."""


def compare(
    address: str,
    commits: Sequence[CommitSha],
    changed: Changed,
    deployed: Mapping[str, Deployed],
    skipped: bool,
) -> tuple[Finding, ...]:
    """What there is to start so that each model of the head is released as it is there.

    Args:
        address: the repository's.
        commits: those of the branch, the head first, each before its parents.
        changed: see `Changed`.
        deployed: deployments by the names of their models.
        skipped: the head's message asks for no release.
    """
    places = {commit[:12]: place for place, commit in reversed(list(enumerate(commits)))}

    def find(model: str) -> Finding:
        if model not in deployed:
            return Finding(model, None, "not started: it has no deployment yet")
        runs = deployed[model]
        # Runs do not begin in the order of their commits; the one that is nearest to the head counts.
        released = [places[commit] for commit in runs.started if commit in places]
        newest = commits[min(released)] if released else None
        if newest == commits[0]:
            return Finding(model, newest, "released")
        # Taken off the branch by a force push: what serves is not the branch's, whatever changed.
        replaced = bool(runs.started) and runs.started[0] not in places
        if newest and not replaced and model not in changed(newest):
            return Finding(model, newest, "unchanged since its newest release")
        if runs.paused:
            return Finding(model, newest, "not started: its deployment is paused")
        if skipped:
            return Finding(model, newest, "not started: the head's message says [skip release]")
        why = (
            "its newest release is not on the branch" if replaced else "it changed" if newest else "it is new"
        )
        attempt = 1 + runs.void.count(commits[0][:12])
        if attempt > _MOST_ATTEMPTS:
            return Finding(model, newest, f"not started: {attempt - 1} runs of this commit never began")
        return Finding(model, newest, why, Start(runs.id, address, commits[0], attempt))

    return tuple(find(model) for model in sorted(changed(None)))

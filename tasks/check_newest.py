"""Checks whether the branch moved on to a newer commit of the model, which is to be released instead."""

from dataclasses import dataclass

from tasks.config.changed import changed_models
from tasks.config.load import FILE_NAME, parse_project
from tasks.errors import ConfigInvalid
from tasks.gitops.bump import released_trailers
from tasks.gitops.target import target_of
from tasks.notebook.history import History, history
from tasks.release import CommitSha, ReleaseId, ReleasePlan
from tasks.start import skips_release
from tasks.step import step


@dataclass(frozen=True)
class Newer:
    """What is released instead of a commit that was not fetched yet."""

    release_id: ReleaseId
    model: str
    reason: str


@step(
    "check newest",
    lambda newer: newer.reason if newer else "nothing newer is to be released",
    timeout_seconds=600,
)
def check_newest(
    repository: str, branch: str, commit: str, model: str | None, attempt: int | None
) -> Newer | None:
    """What is newer on the branch than `commit`; None unless that is a whole commit id, and for one model."""
    if model is None or not CommitSha.pattern.fullmatch(commit):
        return None
    sha = CommitSha(commit)
    reason = _newer(repository, branch, sha, model)
    return Newer(ReleaseId.of(model, sha, attempt or 1), model, reason) if reason else None


@step(
    "check newest",
    lambda reason: reason or "nothing newer is to be released",
    timeout_seconds=600,
    kept=False,
)
def check_still_newest(plan: ReleasePlan, branch: str) -> str:
    """Why the release came too late to be brought into the fleet; empty when it did not.

    A release that is in the fleet already can go on to its end.
    """
    reason = _newer(plan.source.address, branch, plan.source.commit, plan.model.name)
    return "" if reason and released_trailers(target_of(plan), plan.release_id) else reason


def _newer(repository: str, branch: str, commit: CommitSha, model: str) -> str:
    with history(repository, branch) as found:
        head = found.head
        if head == commit:
            return ""
        if not found.contains(commit):
            return f"branch {branch} has no commit {commit[:12]} any more; it is at {head[:12]}"
        change = "" if skips_release(found.message(head)) else _change(found, commit, model)
        return f"branch {branch} is at {head[:12]} by now, which has {change}" if change else ""


def _change(found: History, commit: CommitSha, model: str) -> str:
    before, after = (found.read(each, FILE_NAME) for each in (commit, found.head))
    try:
        names = {each.name for each in parse_project(after or "", FILE_NAME).models}
        changed = changed_models(before, after or "", found.changed_files(commit, found.head))
    except ConfigInvalid:
        return ""  # nothing can be released of it
    if model not in names:
        return f"no {model} any more"
    return f"another version of {model}" if model in changed else ""

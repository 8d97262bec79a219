"""Releases of a branch that has moved on: only the newest version of a model is trained and released."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.served import Served
from tests.repositories import SMALL_SETTINGS, Repositories, git, small_notebook


@pytest.fixture
def release(prefect_api: str, warm_home: Path, repositories: Repositories) -> Callable[..., Any]:
    """A release as the model's deployment makes it."""
    from flows.release_model import release_model

    def run(commit: str = "main", **arguments: Any) -> Any:
        settings = {"commit": commit, "branch": "main", "model": "small", **arguments}
        return release_model(repository=str(repositories.notebooks), **settings)

    return run


@pytest.mark.worker
def test_a_burst_of_pushes_ends_with_the_newest_released_and_those_between_superseded(
    served: Served, warm_home: Path, repositories: Repositories
) -> None:
    commits = [repositories.push_small(score=f"score = 0.9{number}") for number in range(3)]
    deployment = served.deploy(repositories, warm_home)
    runs = [served.start(deployment, commit=commit) for commit in commits]
    for run in runs[:2]:
        state = served.wait(run, "Superseded")
        assert commits[2][:12] in state["message"]
    served.wait(runs[2], "Untracked")
    assert [set(served.steps(run)) for run in runs[:2]] == [{"check newest"}] * 2
    assert repositories.releases() == [f"small-{commits[2][:12]}-1"]
    assert len(list(warm_home.glob("runs/*/run.json"))) == 1


def test_what_is_superseded_before_it_is_fetched_says_by_what(
    release: Callable[..., Any], repositories: Repositories, home: Path
) -> None:
    from tasks.release import Verdict

    old = repositories.push_small()
    newer = repositories.push_small(score="score = 0.95")
    done = release(old)
    assert done.verdict is Verdict.SUPERSEDED
    assert done.reasons == (f"branch main is at {newer[:12]} by now, which has another version of small",)
    assert (done.release_id, done.source, done.decision) == (f"small-{old[:12]}-1", None, None)
    assert not (home / "sources").exists()


@pytest.mark.parametrize("head", ["another file", "skipped", "broken settings"])
def test_a_newer_commit_that_is_not_released_itself_supersedes_nothing(
    release: Callable[..., Any], repositories: Repositories, head: str
) -> None:
    from tasks.release import Verdict

    commit = repositories.push_small()
    match head:
        case "another file":
            repositories.push({"README.md": "About wine"})
        case "skipped":
            repositories.push({"small.ipynb": small_notebook(score="score = 1")}, "Try\n\n[Skip Release]")
        case "broken settings":
            repositories.push({"modelflight.yaml": SMALL_SETTINGS.replace("gate", "gaet")})
    assert release(commit).verdict is Verdict.UNTRACKED
    assert repositories.releases() == [f"small-{commit[:12]}-1"]


def test_a_model_that_the_branch_no_longer_has_is_not_released(
    release: Callable[..., Any], repositories: Repositories
) -> None:
    from tasks.release import Verdict

    commit = repositories.push_small()
    repositories.push({"modelflight.yaml": SMALL_SETTINGS.replace("name: small", "name: other")})
    assert release(commit).verdict is Verdict.SUPERSEDED


def test_a_commit_that_a_force_push_dropped_is_superseded(
    release: Callable[..., Any], repositories: Repositories, tmp_path: Path
) -> None:
    from tasks.release import Verdict

    first = repositories.push_small()
    dropped = repositories.push_small(score="score = 0.95")
    git(repositories.notebooks, "update-ref", "refs/heads/main", first)
    git(repositories.notebooks, "reflog", "expire", "--expire=now", "--all")
    git(repositories.notebooks, "gc", "--quiet", "--prune=now")
    done = release(dropped)
    assert done.verdict is Verdict.SUPERSEDED
    assert done.reasons == (f"branch main has no commit {dropped[:12]} any more; it is at {first[:12]}",)


def test_a_push_during_the_training_is_seen_before_the_fleet_changes(
    release: Callable[..., Any], repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.pack_image as verb
    from tasks.release import Verdict

    repositories.push_small()
    pack, pushed = verb.pack, []

    def pack_while_somebody_pushes(*args: Any, **kwargs: Any) -> Any:
        pushed.append(repositories.push_small(score="score = 0.95"))
        return pack(*args, **kwargs)

    monkeypatch.setattr(verb, "pack", pack_while_somebody_pushes)
    done = release()
    assert done.verdict is Verdict.SUPERSEDED
    assert pushed[0][:12] in done.reasons[0]
    assert (done.decision.passed, done.fleet_commit) == (True, None)
    assert repositories.releases() == []


def test_what_the_fleet_carries_already_goes_on_to_its_end(
    prefect_api: str, warm_home: Path, repositories: Repositories
) -> None:
    from prefect import flow

    from flows.release_model import release_model
    from tasks.check_newest import check_still_newest
    from tasks.check_release import check_release
    from tasks.fetch_notebooks import fetch_notebooks

    commit = repositories.push_small()
    address = str(repositories.notebooks)
    done = release_model(repository=address)
    repositories.push_small(score="score = 0.95")

    @flow
    def checked(attempt: int) -> str:
        source = fetch_notebooks(address, commit, warm_home / "sources")
        return check_still_newest(check_release(source, None, attempt, False), "main")

    assert repositories.releases() == [done.release_id]
    assert checked(1) == ""
    assert "another version of small" in checked(2)

    repositories.push({"modelflight.yaml": SMALL_SETTINGS.replace("name: small", "name: other")})
    assert "no small any more" in checked(2)


def test_without_a_branch_an_older_commit_is_released_on_purpose(
    release: Callable[..., Any], repositories: Repositories
) -> None:
    from tasks.release import Verdict

    old = repositories.push_small()
    repositories.push_small(score="score = 0.95")
    assert release(old, branch=None).verdict is Verdict.UNTRACKED

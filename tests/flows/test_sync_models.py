"""Heads against releases, with a real Prefect server, deployments and Git; no worker runs what is started."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes import git_server
from tests.repositories import Repositories, git

pytestmark = pytest.mark.usefixtures("prefect_api", "home")

MODEL = """\
  - name: {name}
    notebook: {name}.ipynb
    parameters: {{weight: {weight}}}
    gate: {{metric: score}}
    image: registry.example.com/models/{name}
    fleet: {{repository: ../fleet.git, path: apps/{name}}}
"""


def settings(**weights: int) -> dict[str, str]:
    entries = [MODEL.format(name=name, weight=weight) for name, weight in weights.items()]
    return {"modelflight.yaml": "version: 1\nmodels:\n" + "".join(entries)}


def scheduled(**weights: int) -> str:
    """The same, with a schedule of the last of the models."""
    return settings(**weights)["modelflight.yaml"] + '    schedule: {cron: "* * * * *"}\n'


class Site:
    """A registered repository, and what Prefect has of it."""

    def __init__(self, name: str, repositories: Repositories) -> None:
        self.name = name
        self.repositories = repositories
        self.run = ""

    def sync(self) -> Any:
        from flows.sync_models import sync_models

        state = sync_models(registration=self.name, return_state=True)
        self.run = str(state.state_details.flow_run_id)
        return state

    def deployment(self, model: str) -> Any:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return client.read_deployment_by_name(f"release-model/{self.name}.{model}")

    def runs(self, model: str) -> list[Any]:
        """The runs of a model, oldest first; those that a schedule announced do not count."""
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
        from prefect.client.schemas.sorting import FlowRunSort

        wanted = DeploymentFilter(name=DeploymentFilterName(any_=[f"{self.name}.{model}"]))
        with get_client(sync_client=True) as client:
            return [
                run
                for run in client.read_flow_runs(
                    deployment_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200
                )
                if not run.auto_scheduled
            ]

    def started(self, model: str) -> list[str]:
        """The commits that releases were started for."""
        return [run.parameters["commit"] for run in self.runs(model)]

    def webhook(self, model: str, commit: str) -> None:
        """Starts a release as the receiver does."""
        from prefect.client.orchestration import get_client

        from tasks.release import CommitSha
        from tasks.start import Start

        start = Start(self.deployment(model).id, str(self.repositories.notebooks), CommitSha(commit))
        with get_client(sync_client=True) as client:
            client.create_flow_run_from_deployment(
                start.deployment, parameters=start.parameters, tags=start.tags, idempotency_key=start.key
            )

    def end(self, model: str, state: Any) -> None:
        """Lets the newest run of the model end."""
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.runs(model)[-1].id, state, force=True)

    def table(self) -> list[dict[str, str]]:
        """What this site's newest sync left to look at; others have the same key."""
        import json

        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            wanted = {"artifacts": {"flow_run_id": {"any_": [self.run]}, "key": {"any_": ["sync-models"]}}}
            (found,) = client.request("POST", "/artifacts/filter", json=wanted).json()
        return json.loads(found["data"])

    def outcomes(self) -> dict[str, str]:
        return {row["model"]: row["outcome"] for row in self.table()}


@pytest.fixture
def site(repositories: Repositories, tmp_path: Any) -> Iterator[Site]:
    from flows.blocks import NotebookRepository

    name = f"sync-{abs(hash(tmp_path))}"
    NotebookRepository(address=str(repositories.notebooks), branch="main").save(name)
    yield Site(name, repositories)
    NotebookRepository.delete(name)


@pytest.fixture
def released(site: Site) -> Site:
    """Both models were released at the first commit."""
    site.repositories.push({**settings(wine=1, rain=1), "wine.ipynb": "1", "rain.ipynb": "1"})
    assert site.sync().name == "Completed"
    return site


def test_what_was_never_released_is_deployed_and_started_once(site):
    commit = site.repositories.push({**settings(wine=1, rain=1), "wine.ipynb": "1"})
    state = site.sync()
    assert state.name == "Completed"
    assert state.message == f"Started: {site.name}.rain, {site.name}.wine."
    assert site.outcomes() == {"wine": "started: it is new", "rain": "started: it is new"}
    for model in ("wine", "rain"):
        (run,) = site.runs(model)
        assert run.parameters["commit"] == commit
        assert run.parameters["model"] == model
        assert f"commit:{commit[:12]}" in run.tags
        assert f"repository:{site.name}" in run.tags

    assert site.sync().message == "Nothing was missing."
    assert site.outcomes() == {"": "as at the last comparison"}
    assert len(site.runs("wine")) == len(site.runs("rain")) == 1


def test_a_lost_push_is_found_by_the_files_that_it_changed(released):
    commit = released.repositories.push({"wine.ipynb": "2"})
    released.sync()
    assert released.started("wine")[1:] == [commit]
    assert len(released.started("rain")) == 1
    assert released.outcomes() == {
        "wine": "started: it changed",
        "rain": "unchanged since its newest release",
    }


def test_several_lost_pushes_end_with_the_newest_commit(released):
    for number in range(2, 5):
        commit = released.repositories.push({"wine.ipynb": str(number)})
    released.sync()
    assert released.started("wine")[1:] == [commit]


def test_what_a_webhook_started_is_not_started_again(released):
    commit = released.repositories.push({"wine.ipynb": "2"})
    released.webhook("wine", commit)
    released.sync()
    assert released.outcomes()["wine"] == "released"
    later = released.repositories.push({"README.md": "2"})
    released.sync()
    assert released.started("wine")[1:] == [commit]
    assert later not in released.started("rain")


def test_a_webhook_that_comes_between_comparison_and_start_makes_the_only_run(released, monkeypatch):
    import flows.sync_models as module

    commit = released.repositories.push({"wine.ipynb": "2"})
    started = module._start

    def late(search):
        search.wait()
        released.webhook("wine", commit)
        return started(search)

    monkeypatch.setattr(module, "_start", late)
    released.sync()
    assert released.started("wine")[1:] == [commit]
    assert released.outcomes()["wine"] == "started by another meanwhile: it changed"


def test_a_push_that_comes_late_does_not_hide_the_newer_one(released):
    first = released.repositories.push({"wine.ipynb": "2"})
    second = released.repositories.push({"wine.ipynb": "3"})
    released.webhook("wine", second)
    released.webhook("wine", first)
    released.repositories.push({"README.md": "x"})
    released.sync()
    assert released.started("wine")[1:] == [second, first]


def test_a_force_push_is_released_though_nothing_else_changed(released):
    (first,) = released.started("wine")
    dropped = released.repositories.push({"wine.ipynb": "2"})
    released.webhook("wine", dropped)
    git(released.repositories.notebooks, "update-ref", "refs/heads/main", first)
    commit = released.repositories.push({"README.md": "other"})
    released.sync()
    assert released.started("wine") == [first, dropped, commit]
    assert released.outcomes()["wine"] == "started: its newest release is not on the branch"
    assert released.started("rain") == [first]


@pytest.mark.parametrize("end", ["Superseded", "Crashed"])
def test_a_run_that_ended_before_it_began_is_made_after_all(released, end):
    from prefect.states import Completed, Crashed

    commit = released.repositories.push({"wine.ipynb": "2"})
    released.webhook("wine", commit)
    assert released.sync().message == "Nothing was missing."
    # By a newer commit that a force push took off the branch since; or by a server that was away.
    released.end("wine", Crashed() if end == "Crashed" else Completed(name=end))
    released.sync()
    released.sync()
    assert released.started("wine")[1:] == [commit, commit]
    assert [run.parameters["attempt"] for run in released.runs("wine")[1:]] == [1, 2]


def test_a_release_that_crashed_or_failed_later_is_left_to_people(released):
    from prefect.states import Crashed, Failed, Running

    commit = released.repositories.push({"wine.ipynb": "2"})
    released.webhook("wine", commit)
    released.end("wine", Running())
    for state in (Crashed(), Failed()):
        released.end("wine", state)
        released.sync()
    assert released.started("wine")[1:] == [commit]


def test_a_paused_deployment_is_started_when_it_goes_on(released):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.pause_deployment(released.deployment("wine").id)
        commit = released.repositories.push({"wine.ipynb": "2"})
        released.sync()
        assert released.outcomes()["wine"] == "not started: its deployment is paused"
        assert len(released.started("wine")) == 1
        released.sync()
        assert released.outcomes() == {"": "as at the last comparison"}
        client.resume_deployment(released.deployment("wine").id)
    released.sync()
    assert released.started("wine")[1:] == [commit]


def test_a_commit_that_asks_for_no_release_gets_none_later_either(released):
    released.repositories.push({"wine.ipynb": "2"}, "Tidy\n\n[Skip Release]")
    released.sync()
    assert released.outcomes()["wine"] == "unchanged since its newest release"
    commit = released.repositories.push({"rain.ipynb": "2"})
    released.sync()
    assert len(released.started("wine")) == 1
    assert released.started("rain")[1:] == [commit]


def test_what_was_lost_before_a_commit_that_asks_for_no_release_is_started_after_it(released):
    released.repositories.push({"wine.ipynb": "2"})
    released.repositories.push({"README.md": "2"}, "[skip release]")
    released.sync()
    assert released.outcomes()["wine"] == "not started: the head's message says [skip release]"
    commit = released.repositories.push({"README.md": "3"})
    released.sync()
    assert released.started("wine")[1:] == [commit]


def test_a_model_that_joins_is_deployed_and_started_and_one_that_leaves_is_not(released):
    commit = released.repositories.push(settings(wine=1, snow=1))
    released.sync()
    assert released.started("snow") == [commit]
    assert len(released.started("wine")) == 1
    assert len(released.started("rain")) == 1


def test_runs_that_a_schedule_announces_are_no_releases(released):
    commit = released.repositories.push({"modelflight.yaml": scheduled(wine=1, rain=1)})
    released.sync()
    assert released.started("rain")[1:] == [commit]


def test_an_unreadable_file_fails_the_sync_until_it_is_repaired(released):
    released.repositories.push({"modelflight.yaml": "version: 7", "wine.ipynb": "2"})
    for _ in range(2):
        state = released.sync()
        assert state.name == "Failed"
        assert released.name in state.message
        assert "modelflight.yaml has" in state.message
    commit = released.repositories.push(settings(wine=1, rain=1))
    assert released.sync().name == "Completed"
    assert released.started("wine")[1:] == [commit]
    assert len(released.started("rain")) == 1


def test_a_block_that_cannot_be_used_fails_the_sync_and_holds_no_other_up(site):
    from flows.blocks import NotebookRepository
    from flows.sync_models import sync_models

    commit = site.repositories.push({**settings(wine=1), "wine.ipynb": "1"})
    spoilt = NotebookRepository(address="https://git.example.com/notebooks.git")
    spoilt.address = "https://ada:pa55@git.example.com/notebooks.git"
    spoilt.save(f"{site.name}-spoilt")
    state = sync_models(return_state=True)
    NotebookRepository.delete(f"{site.name}-spoilt")
    assert state.name == "Failed"
    assert f"{site.name}-spoilt: A block cannot be used" in state.message
    assert site.started("wine") == [commit]


def test_a_deployment_that_prefect_refused_to_change_is_changed_at_the_next_sync(released, monkeypatch):
    import flows.sync_models as module
    from flows.deploy_models import Deployed
    from tasks.apply_deployments import Problem
    from tasks.errors import ModelflightError

    deploy = module.deploy_models

    def refuse(names):
        done = deploy(names, dry_run=True)
        problems = [Problem(each.title, ModelflightError("refused")) for each in done.actions if each.changes]
        return Deployed(done.actions, tuple(problems), done.repositories)

    released.repositories.push({"modelflight.yaml": scheduled(wine=1, rain=1)})
    monkeypatch.setattr(module, "deploy_models", refuse)
    assert released.sync().name == "Failed"
    assert released.deployment("rain").schedules == []
    monkeypatch.setattr(module, "deploy_models", deploy)
    assert released.sync().name == "Completed"
    assert len(released.deployment("rain").schedules) == 1


def test_a_name_that_nobody_registered_is_told_with_those_that_are(site):
    from flows.sync_models import sync_models
    from tasks.errors import InvalidInput

    with pytest.raises(
        InvalidInput, match=r"(?s)no notebook repository 'nobody'.*Registered are: .*" + site.name
    ):
        sync_models(registration="nobody")


def test_the_blocks_token_opens_the_repository(site, home):
    from flows.blocks import NotebookRepository

    commit = site.repositories.push({**settings(wine=1), "wine.ipynb": "1"})
    with git_server.running(site.repositories.notebooks.parent) as server:
        NotebookRepository(
            address=f"{server.address}/notebooks.git", username=server.user, token=server.password
        ).save(site.name, overwrite=True)
        assert site.sync().name == "Completed"
    assert site.started("wine") == [commit]


def test_what_nobody_answered_in_time_goes_on_though_the_automation_forgot_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    from prefect import flow
    from prefect.states import Suspended

    from flows.approval import end_overdue_approvals

    monkeypatch.setenv("MODELFLIGHT_APPROVAL_HOURS", "1")
    site.repositories.push(settings(small=1))
    site.sync()
    site.end("small", Suspended(timeout_seconds=36000))
    site.sync()
    assert site.runs("small")[-1].state_name == "Suspended"

    in_an_hour = flow(end_overdue_approvals, name="sync")
    in_an_hour(timedelta(hours=-1))
    assert site.runs("small")[-1].state_name == "Resuming"

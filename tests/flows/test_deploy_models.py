"""Deploying, with a real Prefect server and real Git."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.flows.own_prefect import OwnPrefect, own_prefect
from tests.repositories import SMALL_SETTINGS, TOP, Repositories

SCHEDULE = "    schedule: {cron: '0 3 * * 1', timezone: Europe/Berlin}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPrefect]:
    with own_prefect(tmp_path_factory.mktemp("deploy")) as running:
        yield running


class Site:
    """A registered notebook repository."""

    def __init__(self, server: OwnPrefect, repositories: Repositories, name: str) -> None:
        self.server, self.repositories, self.name = server, repositories, name

    def push(self, *models: str, schedule: str = SCHEDULE) -> None:
        entry = SMALL_SETTINGS.partition("models:\n")[2]
        entries = "".join(entry.replace("name: small", f"name: {model}") + schedule for model in models)
        self.repositories.push_small(f"version: 1\nmodels:\n{entries}")

    def deploy(self, **options: Any) -> dict[str, str]:
        """What was done to each deployment of this repository."""
        return {
            action.title.rpartition(".")[2]: action.do.value
            for action in self.deploy_all([self.name], **options).actions
            if f"/{self.name}." in action.title
        }

    def deploy_all(self, names: Any = (), **options: Any) -> Any:
        from flows.deploy_models import deploy_models

        return deploy_models(names, **options)

    def deployment(self, model: str) -> Any:
        return self.server.deployment(f"{self.name}.{model}")

    def change(self, model: str, **body: Any) -> None:
        """What a person changes in Prefect's pages."""
        self.server.ask(f"deployments/{self.deployment(model)['id']}", body, "PATCH")


@pytest.fixture
def site(
    server: OwnPrefect, repositories: Repositories, home: Any, request: pytest.FixtureRequest
) -> Iterator[Site]:
    from flows.blocks import NotebookRepository

    name = request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-")
    NotebookRepository(address=str(repositories.notebooks)).save(name)
    yield Site(server, repositories, name)
    NotebookRepository.delete(name)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this process sends by HTTP and that may change something."""
    sent: list[str] = []
    send = httpx.Client.send

    def record(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        if request.method != "GET" and not request.url.path.endswith("/filter"):
            sent.append(f"{request.method} {request.url.path}")
        return send(self, request, **options)

    monkeypatch.setattr(httpx.Client, "send", record)
    return sent


def test_a_model_becomes_a_deployment_and_a_second_time_nothing_is_sent(site: Site, requests: list[str]):
    site.push("wine")
    assert site.deploy() == {"wine": "create"}
    assert requests
    requests.clear()
    made = site.deployment("wine")
    address = str(site.repositories.notebooks)

    assert made["entrypoint"] == "flows.release_model.release_model"
    assert made["tags"] == ["modelflight", f"repository:{site.name}", "model:wine", "path:small.ipynb"]
    assert made["parameters"] == {"repository": address, "branch": "main", "commit": "main", "model": "wine"}
    assert made["work_pool_name"] == "modelflight"
    assert made["global_concurrency_limit"]["limit"] == 1
    assert made["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert made["enforce_parameter_schema"]
    [schedule] = made["schedules"]
    assert schedule["schedule"] == {"cron": "0 3 * * 1", "timezone": "Europe/Berlin", "day_or": True}
    assert schedule["parameters"] == {"retrain": True}

    assert site.deploy() == {"wine": "unchanged"}
    assert requests == []


def test_a_start_by_hand_chooses_the_commit_and_nothing_that_the_deployment_is_for(site: Site):
    site.push("wine")
    site.deploy()
    identifier = site.deployment("wine")["id"]
    run = site.server.ask(
        f"deployments/{identifier}/create_flow_run", {"parameters": {"commit": "v1"}, "state": None}
    )
    assert run["parameters"]["commit"] == "v1"
    assert run["parameters"]["model"] == "wine"
    with pytest.raises(httpx.HTTPStatusError):
        site.server.ask(f"deployments/{identifier}/create_flow_run", {"parameters": {"model": "beer"}})


def test_schedules_announce_runs_that_retrain(site: Site):
    site.push("wine")
    site.deploy()
    wanted = {"deployments": {"name": {"any_": [f"{site.name}.wine"]}}}
    deadline = time.monotonic() + 120
    while not (runs := site.server.ask("flow_runs/filter", wanted)) and time.monotonic() < deadline:
        time.sleep(1)
    assert runs
    assert {run["parameters"]["retrain"] for run in runs} == {True}


def test_what_changed_in_the_file_is_changed_and_the_rest_is_not_touched(site: Site):
    site.push("wine", "beer")
    site.deploy()
    before = site.deployment("beer")
    entry = SMALL_SETTINGS.replace("name: small", "name: wine") + "    paths: [data]\n"
    beer = SMALL_SETTINGS.partition("models:\n")[2].replace("name: small", "name: beer") + SCHEDULE
    site.repositories.push_small(entry + beer)

    assert site.deploy(dry_run=True) == {"wine": "update", "beer": "unchanged"}
    assert site.deployment("wine")["schedules"]
    assert site.deploy() == {"wine": "update", "beer": "unchanged"}
    assert "path:data" in site.deployment("wine")["tags"]
    assert site.deployment("wine")["schedules"] == []
    assert site.deployment("beer") == before


def test_what_a_person_paused_or_added_stays_and_what_the_file_says_is_put_back(site: Site):
    site.push("wine")
    site.deploy()
    made = site.deployment("wine")
    [ours] = made["schedules"]
    site.server.ask(f"deployments/{made['id']}/schedules/{ours['id']}", {"active": False}, "PATCH")
    extra = [{"schedule": {"cron": "0 9 * * *"}, "active": True}]
    site.server.ask(f"deployments/{made['id']}/schedules", extra)
    site.change(
        "wine", paused=True, description="mine", tags=[], job_variables={"env": {"A": "b"}, "name": "n"}
    )
    site.push("wine", schedule=SCHEDULE.replace("0 3", "0 4"))

    assert site.deploy() == {"wine": "update"}
    now = site.deployment("wine")
    assert now["paused"]
    assert now["description"].startswith("Releases the model")
    assert now["tags"] == made["tags"]
    assert now["job_variables"] == {
        "env": {"A": "b", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"},
        "name": "n",
    }
    schedules = {each["schedule"]["cron"]: each["active"] for each in now["schedules"]}
    assert schedules == {"0 4 * * 1": False, "0 9 * * *": True}
    assert site.deploy() == {"wine": "unchanged"}


def test_a_vanished_model_is_paused_until_it_comes_back_unless_a_person_paused_it(site: Site):
    site.push("wine", "beer", "ale")
    site.deploy()
    site.change("ale", paused=True)
    site.push("wine")
    assert site.deploy() == {"wine": "unchanged", "beer": "pause", "ale": "unchanged"}
    assert site.deployment("beer")["paused"]
    assert "gone" in site.deployment("beer")["tags"]
    assert site.deploy() == {"wine": "unchanged", "beer": "unchanged", "ale": "unchanged"}

    site.push("wine", "beer", "ale")
    assert site.deploy() == {"wine": "unchanged", "beer": "unpause", "ale": "unchanged"}
    assert not site.deployment("beer")["paused"]
    assert "gone" not in site.deployment("beer")["tags"]
    assert site.deployment("ale")["paused"]

    site.push("wine")
    assert site.deploy(prune=True) == {"wine": "unchanged", "beer": "delete", "ale": "delete"}
    assert {name for name in site.server.deployments() if site.name in name} == {f"{site.name}.wine"}


@pytest.mark.parametrize("prune", [False, True])
def test_a_vanished_model_that_somebody_deletes_meanwhile_is_no_problem(
    site: Site, monkeypatch: pytest.MonkeyPatch, prune: bool
):
    import flows.deploy_models as composition

    site.push("wine", "rain")
    site.deploy()
    site.push("rain")
    wine, apply = site.deployment("wine")["id"], composition.apply_deployments

    def apply_late(client: Any, *arguments: Any) -> Any:
        client.delete_deployment(wine)
        return apply(client, *arguments)

    monkeypatch.setattr(composition, "apply_deployments", apply_late)
    assert not site.deploy_all([site.name], prune=prune).problems


def test_the_models_of_a_repository_that_nobody_registers_any_more_are_paused(site: Site):
    from flows.blocks import NotebookRepository

    site.push("wine")
    site.deploy()
    block = NotebookRepository.load(site.name)
    NotebookRepository.delete(site.name)
    site.deploy_all()
    assert site.deployment("wine")["paused"]
    block.save(site.name)
    site.deploy_all()
    assert not site.deployment("wine")["paused"]


def test_a_broken_repository_keeps_its_deployments_and_holds_nobody_up(site: Site, tmp_path: Any):
    from flows.blocks import NotebookRepository

    site.push("wine")
    site.deploy()
    before = site.deployment("wine")
    site.repositories.push_small("version: 2\n")
    (tmp_path / "second").mkdir()
    second = Repositories(tmp_path / "second")
    second.push_small()
    NotebookRepository(address=str(second.notebooks)).save("second")
    NotebookRepository(address=str(tmp_path / "nowhere.git")).save("unreachable")
    spoilt = NotebookRepository(address=str(second.notebooks))
    spoilt.save("spoilt")
    site.deploy_all(["spoilt"])
    kept = site.server.deployment("spoilt.small")
    spoilt.address = "https://ada:pa55@git.example.com/notebooks.git"  # as Prefect's form takes it
    spoilt.save("spoilt", overwrite=True)

    command = [sys.executable, "-m", "deployments.cli", "deploy", "--output", "json"]
    done = subprocess.run(command, cwd=TOP, env=os.environ, capture_output=True, text=True, timeout=300)
    told = json.loads(done.stdout)
    for name in ("second", "unreachable", "spoilt"):
        NotebookRepository.delete(name)

    problems = {problem["name"]: problem["error"]["type"] for problem in told["problems"]}
    assert problems == {
        site.name: "ConfigInvalid", "unreachable": "RepositoryRefused", "spoilt": "InvalidInput"
    }  # fmt: skip
    assert done.returncode == 2
    assert "pa55" not in done.stdout + done.stderr
    assert site.server.deployment("spoilt.small") == kept
    assert site.server.deployment("second.small")["parameters"]["repository"] == str(second.notebooks)
    assert site.deployment("wine") == before


def test_a_work_pool_that_a_worker_makes_meanwhile_is_taken(site: Site, monkeypatch: pytest.MonkeyPatch):
    import flows.deploy_models as module

    read = module.read_deployments

    def late(*arguments: Any) -> Any:
        found = read(*arguments)
        site.server.ask("work_pools/", {"name": "made-meanwhile", "type": "process"})
        return found

    monkeypatch.setenv("MODELFLIGHT_WORK_POOL", "made-meanwhile")
    monkeypatch.setattr(module, "read_deployments", late)
    site.push("wine")
    assert site.deploy() == {"wine": "create"}


def test_a_name_that_nobody_registered_is_told(site: Site):
    from tasks.errors import InvalidInput

    with pytest.raises(InvalidInput, match="'wien'"):
        site.deploy_all(["wien"])


def test_heads_are_compared_by_a_deployment_that_stands_by_itself(site: Site, server: OwnPrefect):
    site.deploy_all([], dry_run=False)
    made = server.ask("deployments/name/sync-models/sync-models", method="GET")
    assert made["schedules"][0]["schedule"]["interval"] == 300
    assert made["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert "registration" in made["parameter_openapi_schema"]["properties"]


def test_an_automation_that_a_person_switched_off_stays_off_and_is_mended(site: Site, server: OwnPrefect):
    site.deploy_all()
    name = "Modelflight: approvals end"
    made = server.automations()[name]
    body = {key: made[key] for key in ("name", "trigger", "actions", "tags")}
    server.ask(f"automations/{made['id']}", {**body, "description": "mine", "enabled": False}, "PUT")
    server.ask("automations/", {**body, "description": "a copy"})
    own = {**body, "name": "Modelflight: of a person", "tags": []}
    server.ask("automations/", own)

    site.deploy_all()
    named = [each for each in server.ask("automations/filter", {}) if each["name"] == name]
    assert [(each["enabled"], each["description"]) for each in named] in (
        [(False, made["description"])],
        [(True, made["description"])],
    )
    assert own["name"] in server.automations()

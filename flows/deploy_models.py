"""Makes Prefect's deployments and automations what the registered repositories say."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.utilities.callables import parameter_schema

from flows.blocks import BLOCKS, NotebookRepository
from flows.busy_api import HTTPX_SETTINGS
from flows.deploy_settings import DeploySettings
from flows.registered import Registered
from flows.settings import Home, work_pool
from tasks.apply_deployments import Problem, apply_deployments
from tasks.config.load import load_project
from tasks.deployment.automations import automations
from tasks.deployment.desired import (
    RELEASE_ENTRYPOINT,
    RELEASE_FLOW,
    Deployment,
    release_deployments,
    standing,
)
from tasks.deployment.plan import Action, Do, plan_automations, plan_deployments
from tasks.errors import ModelflightError
from tasks.keyring import holding
from tasks.notebook.checkout import check_out
from tasks.read_deployments import Found, read_deployments

_AT_A_TIME = 8


@dataclass(frozen=True)
class Deployed:
    """What was to do, and what of it, or of the reading before it, failed.

    `repositories` counts those that were read.
    """

    actions: tuple[Action, ...]
    problems: tuple[Problem, ...]
    repositories: int


def deploy_models(names: Collection[str] = (), *, prune: bool = False, dry_run: bool = False) -> Deployed:
    """Deploys the models of all registered notebook repositories, or of those named.

    A repository that cannot be read, or whose block cannot be used, keeps its deployments as they are. With
    `dry_run` nothing is changed.

    Raises:
        InvalidInput: a name is none of a registered repository, or a setting cannot be used.
    """
    settings, pool = DeploySettings.from_environment(), work_pool()
    known = Registered.read()
    chosen, broken = known.chosen(names)
    always = standing(settings.sync_interval)
    # Prefect takes two seconds to tell of 200 deployments with schedules; Git is read meanwhile.
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(
            copy_context().run, _read_prefect, [RELEASE_FLOW, *(each.flow for each in always)], pool
        )
        with holding(known.keyring):
            wanted, problems = _read_repositories(chosen, pool)
        wanted += [each.deployment(_form(each.entrypoint), pool) for each in always]
        found = reading.result()
    read = chosen.keys() - {problem.subject for problem in problems}
    problems += [Problem(name, error) for name, error in broken.items()]
    unread = {problem.subject for problem in problems}

    def is_known(repository: str) -> bool:
        return repository not in unread and (repository in chosen or not names)

    actions = [
        *_plan_surroundings(found, pool),
        *plan_deployments(wanted, found.deployments, known=is_known, prune=prune),
        *plan_automations(automations(settings.approval, found.notified), found.automations),
    ]
    if not dry_run:
        problems += _apply(found, actions, pool)
    return Deployed(tuple(actions), tuple(problems), len(read))


def _read_repositories(
    chosen: Mapping[str, NotebookRepository], pool: str
) -> tuple[list[Deployment], list[Problem]]:
    form = _form(RELEASE_ENTRYPOINT)

    def read(name: str, block: NotebookRepository) -> list[Deployment] | Problem:
        try:
            source = check_out(block.address, block.branch, Home().sources)
            project = load_project(source.directory)
        except ModelflightError as error:
            return Problem(name, error)
        return release_deployments(name, block.address, block.branch, project, form, pool)

    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        # Threads start without the keyring; each needs a copy of its own.
        running = [threads.submit(copy_context().run, read, name, block) for name, block in chosen.items()]
        results = [each.result() for each in running]
    problems = [result for result in results if isinstance(result, Problem)]
    return [each for result in results if not isinstance(result, Problem) for each in result], problems


def _read_prefect(flows: Iterable[str], pool: str) -> Found:
    with get_client(sync_client=True) as client:
        return read_deployments(client, flows, BLOCKS, pool)


def _form(entrypoint: str) -> dict[str, Any]:
    """The JSON Schema of the parameters of the flow at `entrypoint`."""
    module, _, name = entrypoint.rpartition(".")
    form: dict[str, Any] = parameter_schema(getattr(import_module(module), name)).model_dump()
    return form


def _plan_surroundings(found: Found, pool: str) -> list[Action]:
    blocks = [Action(Do.CREATE, "block type", block.get_block_type_name()) for block in found.stale]
    return blocks if found.has_work_pool else [*blocks, Action(Do.CREATE, "work pool", pool)]


def _apply(found: Found, actions: Iterable[Action], pool: str) -> list[Problem]:
    for block in found.stale:
        block.register_type_and_schema()
    flows = dict(found.flows)
    with get_client(httpx_settings=HTTPX_SETTINGS, sync_client=True) as client:

        def flow_id(name: str) -> UUID:
            if name not in flows:
                flows[name] = client.create_flow_from_name(name)
            return flows[name]

        if not found.has_work_pool:
            with suppress(ObjectAlreadyExists):  # a worker made it meanwhile
                client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        return apply_deployments(client, actions, flow_id)

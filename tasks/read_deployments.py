"""Reads what Prefect has of that which deploying makes: deployments, automations, work pool, block types."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation as PrefectAutomation
from prefect.exceptions import ObjectNotFound

from tasks.deployment.automations import NOTIFIED, Automation
from tasks.deployment.desired import SLUG, Deployment, Timetable
from tasks.deployment.plan import FoundAutomation, FoundDeployment

if TYPE_CHECKING:
    from prefect.client.orchestration.routes import ServerRoutes

_PAGE = 200  # Prefect's default for the most that a request may ask for
_SORTED = ("after", "expect", "for_each")  # sets to Prefect


@dataclass(frozen=True)
class Found:
    """What Prefect has.

    `stale` are the block types that it has not, or in another version; `flows` the ids of flows by name;
    `notified` the ids of notification blocks.
    """

    deployments: tuple[FoundDeployment, ...]
    automations: tuple[FoundAutomation, ...]
    notified: tuple[UUID, ...]
    flows: dict[str, UUID]
    stale: tuple[type[Block], ...]
    has_work_pool: bool


def read_deployments(
    client: SyncPrefectClient, flows: Iterable[str], blocks: Iterable[type[Block]], work_pool: str
) -> Found:
    """What there is of the deployments of `flows`, whoever made them, and of everything around them."""
    named = {"flows": {"name": {"any_": sorted(flows)}}}
    names = {flow["id"]: flow["name"] for flow in _all(client, "/flows/filter", named)}
    listed = _all(client, "/deployments/filter", named)
    return Found(
        deployments=tuple(_deployment(each, names[each["flow_id"]]) for each in listed),
        automations=tuple(
            map(_automation, PrefectAutomation.model_validate_list(_all(client, "/automations/filter", {})))
        ),
        notified=_notified(client),
        flows={name: UUID(identifier) for identifier, name in names.items()},
        stale=_stale(client, blocks),
        has_work_pool=_has_work_pool(client, work_pool),
    )


def _all(client: SyncPrefectClient, path: "ServerRoutes", query: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that a filter finds, page by page.

    The client's own methods send null for what is not asked, which newer versions of FastAPI refuse.
    """
    found: list[dict[str, Any]] = []
    while True:
        page = client.request("POST", path, json={**query, "limit": _PAGE, "offset": len(found)}).json()
        found += page
        if len(page) < _PAGE:
            return found


def _deployment(document: dict[str, Any], flow: str) -> FoundDeployment:
    # Not through Prefect's types, which look all time zones up on the disk for each schedule.
    ours = next((each for each in document["schedules"] if each["slug"] == SLUG), None)
    enforced = document["enforce_parameter_schema"]
    return FoundDeployment(
        id=UUID(document["id"]),
        deployment=Deployment(
            flow=flow,
            name=document["name"],
            entrypoint=document["entrypoint"] or "",
            description=document["description"] or "",
            tags=tuple(document["tags"]),
            parameters=document["parameters"],
            form=(document["parameter_openapi_schema"] or {}) if enforced else {},
            work_pool=document["work_pool_name"] or "",
            collision=(document["concurrency_options"] or {}).get("collision_strategy", ""),
            limit=(document["global_concurrency_limit"] or {}).get("limit"),
            timetable=Timetable(ours["schedule"], ours["parameters"]) if ours else None,
            environment=document["job_variables"].get("env") or {},
        ),
        paused=document["paused"],
        schedule=UUID(ours["id"]) if ours else None,
        job_variables=document["job_variables"],
    )


def _automation(found: PrefectAutomation) -> FoundAutomation:
    document = found.model_dump(mode="json")
    trigger = document["trigger"]
    return FoundAutomation(
        id=found.id,
        automation=Automation(
            name=found.name,
            description=found.description,
            trigger=trigger | {key: sorted(trigger[key]) for key in _SORTED if key in trigger},
            actions=tuple(document["actions"]),
        ),
        enabled=found.enabled,
        tags=tuple(found.tags),
    )


def _notified(client: SyncPrefectClient) -> tuple[UUID, ...]:
    query = {"block_schemas": {"block_capabilities": {"all_": ["notify"]}}}
    documents = _all(client, "/block_documents/filter", query)
    return tuple(UUID(each["id"]) for each in documents if (each["name"] or "").startswith(NOTIFIED))


def _stale(client: SyncPrefectClient, blocks: Iterable[type[Block]]) -> tuple[type[Block], ...]:
    def is_current(block: type[Block]) -> bool:
        try:
            known = client.read_block_type_by_slug(block.get_block_type_slug())
            client.read_block_schema_by_checksum(block._calculate_schema_checksum())
        except ObjectNotFound:
            return False
        return known.description == block.get_description()

    return tuple(block for block in blocks if not is_current(block))


def _has_work_pool(client: SyncPrefectClient, name: str) -> bool:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        return False
    return True

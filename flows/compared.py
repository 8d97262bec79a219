"""What was compared before, kept in Prefect's variables: what has not moved since is not cloned again."""

from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256
from itertools import chain, count, takewhile
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import DeploymentSort
from prefect.variables import Variable

from tasks.comparison import SUPERSEDED, Deployed, Registration
from tasks.deployment.desired import RELEASE_FLOW
from tasks.release import CommitSha

_PREFIX = "modelflight-compared-"
_PAGE = 200  # the most that Prefect's API gives at once


def mark(
    registration: Registration,
    head: CommitSha | None,
    deployed: Mapping[str, Deployed],
    ended: Mapping[UUID, str],
) -> str:
    """Another one whenever a comparison may find something else.

    That is by another head, by another set of deployments that are not paused, and by runs that ended without
    a release, see `read_ended`.
    """
    active = sorted(str(each.id) for each in deployed.values() if not each.paused)
    runs = sorted(ended.get(each.id, "") for each in deployed.values())
    told = "\n".join([registration.address, registration.branch, str(head), *active, *runs])
    return sha256(told.encode()).hexdigest()


def read_marks() -> dict[str, str]:
    """The marks that were kept, by the names of the registrations."""
    wanted = {"variables": {"name": {"like_": f"{_PREFIX}%"}}, "limit": _PAGE}
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/variables/filter", json=wanted).json()
    return {each["name"].removeprefix(_PREFIX): each["value"] for each in found}


def read_ended() -> dict[UUID, str]:
    """The last run of each deployment that gave way to a newer commit or crashed, of the newest such runs."""
    wanted = {
        "flows": {"name": {"any_": [RELEASE_FLOW]}},
        "flow_runs": {"state": {"name": {"any_": [SUPERSEDED, "Crashed"]}}},
        "sort": "END_TIME_DESC",
        "limit": _PAGE,
    }
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/flow_runs/filter", json=wanted).json()
    return {UUID(each["deployment_id"]): each["id"] for each in reversed(found) if each["deployment_id"]}


def keep_mark(name: str, value: str) -> None:
    """Keeps the mark of a comparison after which nothing was missing."""
    Variable.set(f"{_PREFIX}{name}", value, tags=["modelflight"], overwrite=True)


def read_deployed() -> defaultdict[str, dict[str, Deployed]]:
    """The deployments of models, without their runs, by the names of registrations and of models."""
    deployed: defaultdict[str, dict[str, Deployed]] = defaultdict(dict)
    flow = FlowFilter(name=FlowFilterName(any_=[RELEASE_FLOW]))
    with get_client(sync_client=True) as client:

        def page(offset: int) -> list[DeploymentResponse]:
            by_name = DeploymentSort.NAME_ASC
            return client.read_deployments(flow_filter=flow, sort=by_name, limit=_PAGE, offset=offset)

        for each in chain.from_iterable(takewhile(bool, map(page, count(0, _PAGE)))):
            registration, _, model = each.name.partition(".")
            deployed[registration][model] = Deployed(each.id, each.paused)
    return deployed

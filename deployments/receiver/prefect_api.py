"""The few calls of Prefect's API that the receiver makes; importing Prefect's client takes 200 MB."""

import asyncio
import itertools
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from deployments.receiver.log import LOGGER
from deployments.receiver.registrations import (
    BLOCK_TYPE,
    RELEASE_FLOW,
    SYNC_DEPLOYMENT,
    Deployed,
    Registration,
)
from deployments.receiver.settings import Settings
from tasks.address import redact
from tasks.errors import ModelflightError, PrefectUnreachable
from tasks.pages import run_page

PATIENCE = 4.0  # seconds for one call with its repetitions; Gitea waits five for our answer
REST = 2.0  # seconds that an API which did not answer is left alone
_BUSY = (429, 502, 503, 504)  # on SQLite, 503 says that another was writing
_PAGE = 200  # the most that the API gives at once


class DeploymentGone(ModelflightError):
    """The deployment to run is not there any longer."""


@dataclass(frozen=True)
class Run:
    """A flow run; `page` is its address for people, `is_new` says that it was created just now."""

    id: UUID
    page: str
    is_new: bool


class PrefectApi:
    """The API that the settings name; a context manager that ends its connections.

    Calls are repeated while the API is busy. One that does not answer is not asked again for `REST` seconds,
    so that not every delivery waits for it. All of it can be repeated: runs have idempotency keys.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        headers = {"Authorization": settings.authorization} if settings.authorization else {}
        self._client = httpx.AsyncClient(headers=headers, timeout=PATIENCE, verify=settings.verify)
        self._resting = (0.0, "")  # until when, and why

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def registrations(self) -> Mapping[str, Registration]:
        """The registered notebook repositories by name."""
        path = f"/block_types/slug/{BLOCK_TYPE}/block_documents?include_secrets=true"
        _, found = await self._ask("GET", path)
        documents = found or ()  # nobody registered the type yet
        registrations = map(Registration.of_block, documents)
        return {each.name: each for each in registrations if each}

    async def deployments(self, name: str) -> tuple[Deployed, ...]:
        """The deployments of the models of the registration `name`."""
        wanted: dict[str, Any] = {
            "deployments": {"tags": {"all_": ["modelflight", f"repository:{name}"]}},
            "flows": {"name": {"any_": [RELEASE_FLOW]}},
            "sort": "NAME_ASC",
            "limit": _PAGE,
        }
        found: list[Deployed] = []
        for offset in itertools.count(0, _PAGE):
            _, page = await self._ask("POST", "/deployments/filter", {**wanted, "offset": offset})
            found += map(Deployed.of_deployment, page)
            if len(page) < _PAGE:
                break
        return tuple(found)

    async def sync_deployment(self) -> UUID:
        """The deployment that compares commits with releases.

        Raises:
            ModelflightError: there is none.
        """
        _, found = await self._ask("GET", f"/deployments/name/{SYNC_DEPLOYMENT}")
        if found is None:
            raise ModelflightError(
                "What the push changed can only be found out by comparing commits, and nothing does that.",
                why=f"There is no deployment {SYNC_DEPLOYMENT}.",
                next_step="Make it with `modelflight deploy`, then let the delivery be sent again.",
            )
        return UUID(found["id"])

    async def create_run(self, deployment: UUID, key: str, parameters: Any, tags: list[str]) -> Run:
        """The deployment's run with the idempotency key `key`, created where there is none yet.

        Raises:
            DeploymentGone: there is no such deployment.
        """
        body = {"idempotency_key": key, "parameters": parameters, "tags": tags}
        status, made = await self._ask("POST", f"/deployments/{deployment}/create_flow_run", body)
        if made is None:
            raise DeploymentGone("The deployment was removed.", where=str(deployment))
        run = UUID(made["id"])
        return Run(run, run_page(self._settings.pages, run), status == 201)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """The API's status and answer; for 404 that is None."""
        until, why = self._resting
        if time.monotonic() < until:
            raise self._unreachable(why)
        problem = said = f"It did not answer within {PATIENCE:.0f} seconds."
        try:
            async with asyncio.timeout(PATIENCE):
                for attempt in itertools.count():
                    try:
                        response = await self._client.request(method, self._settings.api + path, json=body)
                    except httpx.TransportError as error:
                        # Its message can name hosts; strangers are told of problems, too.
                        problem, said = f"The connection failed: {type(error).__name__}.", str(error)
                        if attempt:  # the first can have met a connection that the API just closed
                            break
                        continue
                    if response.status_code not in _BUSY:
                        return response.status_code, self._content(response)
                    problem = said = f"It answers {response.status_code} {response.reason_phrase}."
                    await asyncio.sleep(random.uniform(0.5, 1) * min(0.02 * 2**attempt, 0.1))  # noqa: S311
        except TimeoutError:
            pass
        self._resting = (time.monotonic() + REST, problem)
        LOGGER.warning("Prefect does not answer", extra={"told": {"reason": redact(said)}})
        raise self._unreachable(problem)

    def _content(self, response: httpx.Response) -> Any:
        if response.status_code == 404:
            return None
        if response.status_code in (401, 403) or response.status_code >= 500:
            raise self._unreachable(f"It answers {response.status_code} {response.reason_phrase}.")
        if not response.is_success:
            raise ModelflightError(
                "The Prefect API refuses what the receiver asks for.",
                where=redact(f"{response.request.method} {response.request.url.path}: {response.text[:500]}"),
                why=f"It answers {response.status_code} {response.reason_phrase}.",
                next_step="Give `modelflight deploy`: deployments of another version refuse parameters.",
            )
        try:
            return response.json()
        except ValueError:
            raise self._unreachable("It answers something else than JSON.") from None

    def _unreachable(self, why: str) -> PrefectUnreachable:
        return PrefectUnreachable(
            "Prefect does not answer; nothing was lost if the delivery is sent again.",
            where=redact(self._settings.api),
            why=redact(why),
            next_step="Send the delivery again, or wait: sync-models also starts what is missing.",
        )

"""From a delivery to the runs that it makes necessary."""

import asyncio
from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from deployments.receiver.decide import Comparison, Nothing, Releases, choose, relevant
from deployments.receiver.forges.delivery import Delivery, Push
from deployments.receiver.fresh import Fresh
from deployments.receiver.metrics import Metrics
from deployments.receiver.prefect_api import DeploymentGone, PrefectApi
from deployments.receiver.registrations import RELEASE_FLOW, SYNC_DEPLOYMENT, Deployed, Registration
from deployments.receiver.starts import Pushes, Started, Starts, Wanted
from tasks.errors import PrefectUnreachable
from tasks.release import CommitSha
from tasks.start import Start

_FRESH = 5.0  # seconds
_ANSWER_WITHIN = 4.5  # seconds; Gitea waits five


class StartedRun(BaseModel):
    """A flow run in Prefect."""

    deployment: str = Field(description="FLOW/NAME of the deployment that runs.")
    flow_run_id: UUID
    url: str = Field(description="The run's page in Prefect.")
    commit: str = Field(
        description="What it releases: the pushed commit, or a newer one that was pushed since."
    )


class Answer(BaseModel):
    """What became of a delivery."""

    runs: list[StartedRun] = Field(default_factory=list)
    reason: str = Field(description="Why these runs, or why none.")
    outcome: Literal["released", "compared", "nothing"] = Field(
        description="`released`: runs of the models that the push changed; `compared`: a run that finds out "
        "which are changed and releases them."
    )


class Receiver:
    """Knows what is registered and deployed, at most five seconds late, and starts runs of it."""

    def __init__(self, api: PrefectApi, starts: Starts, metrics: Metrics) -> None:
        self._api = api
        self._starts = starts
        self._metrics = metrics
        self._registrations = Fresh(api.registrations, _FRESH)
        self._sync_deployment = Fresh(api.sync_deployment, _FRESH)
        self._deployments: dict[str, Fresh[tuple[Deployed, ...]]] = {}
        self._pushes: dict[str, Pushes] = {}

    async def registration(self, name: str) -> Registration | None:
        """The registration; what was known last while Prefect does not answer.

        Raises:
            PrefectUnreachable: it never answered.
        """
        return (await self._registrations.get_even_old()).get(name)

    async def check(self) -> None:
        """Returns when Prefect answers, which is looked at every five seconds.

        Raises:
            PrefectUnreachable: it does not.
        """
        await self._registrations.get()

    async def receive(self, delivery: Delivery, registration: Registration) -> Answer:
        """Starts what the delivery makes necessary; all of it is in Prefect's database then.

        Raises:
            InvalidInput: the delivery is of another repository.
            PrefectUnreachable: Prefect does not answer, or not in time.
        """
        push = relevant(delivery, registration)
        if isinstance(push, Nothing):
            return Answer(reason=push.reason, outcome="nothing")
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                try:
                    return await self._start(push, registration)
                except DeploymentGone:
                    self._deployments.clear()
                    self._sync_deployment.forget()
                    return await self._start(push, registration)
        except TimeoutError:
            raise PrefectUnreachable(
                "Prefect takes too long to start the runs.",
                why="It is busy, or many starts wait for it.",
                next_step="Send the delivery again, or wait: sync-models also starts what is missing.",
            ) from None

    async def _start(self, push: Push, registration: Registration) -> Answer:
        choice = choose(push, await self._deployed(registration.name))
        if isinstance(choice, Releases):
            return await self._release(choice, push, registration)
        if isinstance(choice, Comparison):
            return await self._compare(choice, push, registration)
        return Answer(reason=choice.reason, outcome="nothing")

    async def _deployed(self, name: str) -> Sequence[Deployed]:
        if name not in self._deployments:
            self._deployments[name] = Fresh(lambda: self._api.deployments(name), _FRESH)
        return await self._deployments[name].get()

    async def _release(self, choice: Releases, push: Push, registration: Registration) -> Answer:
        assert push.commit is not None  # noqa: S101 - `relevant` looks
        pushes = self._pushes.setdefault(registration.name, Pushes())
        pushes.add(push.before, push.commit)
        starts = [Start(each.id, registration.address, CommitSha(push.commit)) for each in choice.deployments]
        started = await asyncio.gather(
            *(
                self._starts.start(
                    Wanted(each.deployment, each.commit, each.key, each.parameters, each.tags, pushes)
                )
                for each in starts
            )
        )
        names = [f"{RELEASE_FLOW}/{each.name}" for each in choice.deployments]
        return self._answer("released", choice.reason, push.commit, dict(zip(names, started, strict=True)))

    async def _compare(self, choice: Comparison, push: Push, registration: Registration) -> Answer:
        assert push.commit is not None  # noqa: S101 - `relevant` looks
        # With the commit before: a branch that goes back to a commit is compared again.
        before = (push.before or "")[:12]
        started = await self._starts.start(
            Wanted(
                await self._sync_deployment.get(),
                push.commit,
                f"sync:{registration.name}:{before}:{push.commit}",
                {"registration": registration.name},
                [f"repository:{registration.name}", f"commit:{push.commit[:12]}"],
                None,
            )
        )
        return self._answer("compared", choice.reason, push.commit, {SYNC_DEPLOYMENT: started})

    def _answer(
        self, outcome: Literal["released", "compared"], reason: str, commit: str, started: dict[str, Started]
    ) -> Answer:
        if any(each.commit != commit for each in started.values()):
            self._metrics.superseded()
            reason += " A newer push superseded this one."
        runs = [
            StartedRun(deployment=name, flow_run_id=each.run.id, url=each.run.page, commit=each.commit)
            for name, each in started.items()
        ]
        return Answer(runs=runs, reason=reason, outcome=outcome)

"""Starting runs one after the other, the newest of what waits.

Prefect's API on SQLite takes one writer at a time and refuses others, so that starting several at once is no
quicker, and a start takes it some 30 ms. What waits for the same deployment meanwhile, and for a moment after
its last start, is started as one run: the newest commit's. So a burst of pushes leaves Prefect time for its
other work. A push is only left out for one that is known to come after it.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from deployments.receiver.prefect_api import PrefectApi, Run
from tasks.errors import PrefectUnreachable

_REST = 0.25  # seconds between two starts of one deployment
_MOST_WAITING = 1000
_MOST_PUSHES = 1000  # remembered


class Pushes:
    """Which commit came before which, as the pushes to one repository's branch said."""

    def __init__(self) -> None:
        self._before: OrderedDict[str, str] = OrderedDict()

    def add(self, before: str | None, commit: str) -> None:
        """Remembers a push."""
        if before:
            # The branch went back: what comes after what can no longer be said.
            if commit in self.before(before):
                self._before.clear()
            self._before[commit] = before
            self._before.move_to_end(commit)
            while len(self._before) > _MOST_PUSHES:
                self._before.popitem(last=False)

    def before(self, commit: str) -> Iterator[str]:
        """The commits that were pushed before `commit`, newest first, as far as they are known."""
        while earlier := self._before.get(commit):
            yield earlier
            commit = earlier


@dataclass(frozen=True)
class Wanted:
    """A run that is to be started for a commit.

    With `pushes`, a later commit among them makes it unnecessary; without, every run that is created later.
    """

    deployment: UUID
    commit: str
    key: str
    parameters: dict[str, Any]
    tags: list[str]
    pushes: Pushes | None


@dataclass(frozen=True)
class Started:
    """The run that was started, for `commit`: the wanted one or a newer."""

    run: Run
    commit: str


@dataclass
class Waiting:
    """One who waits for a run."""

    wanted: Wanted
    started: "asyncio.Future[Started]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Starts:
    """The runs that wait to be started; a context manager, within which they are."""

    def __init__(self, api: PrefectApi) -> None:
        self._api = api
        self._waiting: OrderedDict[UUID, deque[Waiting]] = OrderedDict()
        self._resting: dict[UUID, float] = {}  # deployments, and until when
        self._more = asyncio.Event()
        self._count = 0

    async def __aenter__(self) -> "Starts":
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def start(self, wanted: Wanted) -> Started:
        """Returns when the run, or that of a newer push, is in Prefect's database.

        Raises:
            PrefectUnreachable: it is not, or not as far as is known; also when too many wait.
        """
        if self._count >= _MOST_WAITING:
            raise PrefectUnreachable(
                "Too many starts wait for Prefect.", next_step="Send the delivery again in a while."
            )
        waiting = Waiting(wanted)
        self._waiting.setdefault(wanted.deployment, deque()).append(waiting)
        self._count += 1
        self._more.set()
        try:
            return await waiting.started
        finally:
            self._count -= 1

    async def _work(self) -> None:
        while True:
            deployment = await self._next()
            waiting = self._waiting.pop(deployment)
            alive = [each for each in waiting if not each.started.done()]  # others gave up
            if alive and alive[0].wanted.pushes is None:
                await self._start_one_for_all(alive)
            else:
                for newest, covered in newest_of(alive):
                    await self._start(newest.wanted, covered)
            self._resting[deployment] = time.monotonic() + _REST

    async def _next(self) -> UUID:
        """The deployment that has waited longest of those that do not rest."""
        while True:
            now = time.monotonic()
            self._resting = {each: until for each, until in self._resting.items() if until > now}
            for deployment in self._waiting:
                if deployment not in self._resting:
                    return deployment
            self._more.clear()
            pause = min((self._resting[each] - now for each in self._waiting), default=None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._more.wait()

    async def _start_one_for_all(self, waiting: list[Waiting]) -> None:
        """Starts the last; and others only where that run was there before they came."""
        while waiting:
            wanted = waiting[-1].wanted
            run = await self._start(wanted, [each for each in waiting if each.wanted.key == wanted.key])
            waiting = [each for each in waiting if each.wanted.key != wanted.key]
            if run and run.is_new:
                _resolve(waiting, Started(run, wanted.commit))
                return

    async def _start(self, wanted: Wanted, covered: list[Waiting]) -> Run | None:
        try:
            run = await self._api.create_run(wanted.deployment, wanted.key, wanted.parameters, wanted.tags)
        except Exception as error:  # noqa: BLE001 - theirs to handle who wait
            for each in covered:
                if not each.started.done():
                    each.started.set_exception(error)
            return None
        _resolve(covered, Started(run, wanted.commit))
        return run


def _resolve(waiting: list[Waiting], started: Started) -> None:
    for each in waiting:
        if not each.started.done():
            each.started.set_result(started)


def newest_of(waiting: list[Waiting]) -> list[tuple[Waiting, list[Waiting]]]:
    """Those to start, by arrival, each with all that its run does for, itself among them."""
    if not waiting:
        return []
    pushes = waiting[-1].wanted.pushes or Pushes()
    by_commit: dict[str, list[Waiting]] = {}
    for each in waiting:
        by_commit.setdefault(each.wanted.commit, []).append(each)
    later: dict[str, str] = {}  # a commit, and one that was pushed after it
    for commit in reversed(by_commit):
        if commit not in later:
            for earlier in pushes.before(commit):
                if earlier in later:
                    break  # and so are all before it
                later[earlier] = commit
    covered: dict[str, list[Waiting]] = {commit: [] for commit in by_commit if commit not in later}
    for commit, those in by_commit.items():
        newest = commit
        while newest in later:
            newest = later[newest]
        covered[newest] += those
    return [(by_commit[commit][0], those) for commit, those in covered.items()]

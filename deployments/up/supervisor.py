"""Starts the parts, keeps them running, deploys what is registered, and stops all in order."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from deployments.up.deploying import Deploying
from deployments.up.part import Part

_TICK = 0.2  # seconds
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """The user wants the parts stopped."""


class Supervisor:
    """Runs the parts; those that need others come after them. They are stopped in the opposite order.

    `say` shows a line; `when_stopped` is called for each part after it was stopped.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        deploying: Deploying,
        say: Callable[[str], None],
        when_stopped: Callable[[Part], object],
    ) -> None:
        self._parts = parts
        self._deploying = deploying
        self._say = say
        self._when_stopped = when_stopped
        self._stops = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it is open, SIGINT, SIGTERM and SIGHUP stop the parts; a second one ends them at once."""
        # One that is ignored stays so: SIGHUP under nohup.
        heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            yield
        finally:
            try:
                self._stop()
            finally:
                for part in self._parts:
                    part.kill()
                self._deploying.kill()
                for number, handler in before.items():
                    signal.signal(number, handler)

    def until(self, condition: Callable[[], bool]) -> None:
        """Runs the parts until the condition holds.

        Raises:
            Stopped: the user said so.
            PartFailed: a part died again and again.
        """
        while not condition():
            if self._stops:
                raise Stopped
            for part in self._parts:
                part.tick(self._say)
            self._deploying.tick(self._say)
            time.sleep(_TICK)

    @property
    def is_ready(self) -> bool:
        """Whether all parts serve and what is registered was deployed once."""
        return self._deploying.tried and all(part.ready for part in self._parts)

    def _stop(self) -> None:
        self._deploying.kill()
        for part in reversed(self._parts):
            if not part.is_running:
                continue
            self._say(f"stopping {part.name}")
            part.stop(lambda: self._stops > 1)
            if self._stops > 1:
                return
            self._when_stopped(part)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self._stops += 1
        if self._stops == 1:
            self._say("stopping; a second Ctrl-C ends everything at once")

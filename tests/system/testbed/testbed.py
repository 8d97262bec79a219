"""A testbed: the components that were started together, and the folder that they live in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.system.testbed.component import Component

C = TypeVar("C", bound=Component)


@dataclass
class Testbed:
    """Starts components, and stops them in the opposite order."""

    __test__ = False

    state: Path
    components: list[Component] = field(default_factory=list)

    def folder(self, name: str) -> Path:
        """A component's folder; short, for Unix sockets lie in it."""
        return self.state / name

    def run(self, component: C) -> C:
        """Starts a component and waits until it is ready.

        Raises:
            ComponentFailed: it ended, or was not ready in time.
        """
        self.components.append(component)
        component.start()
        return component.wait()

    def stop(self) -> None:
        """Stops everything, the last first."""
        while self.components:
            self.components.pop().stop()

"""One thing that is wrong with `modelflight.yaml`, and how a reader is told."""

import re
from dataclasses import dataclass

from tasks.address import redact

Location = tuple[str | int, ...]
"""Keys and list positions from the top of the file down to a value."""

_PLAIN_KEY = re.compile(r"[\w-]{1,60}")
_LONGEST_KEY = 60


@dataclass(frozen=True)
class Problem:
    """What is wrong at one place; lines and columns count from 1.

    `column` is given for text that is no YAML at all, `location` for everything else.
    """

    line: int
    message: str
    location: Location = ()
    column: int | None = None

    def render(self, name: str) -> str:
        """`name:line: key.path: message`, free of control characters and of credentials in addresses."""
        position = f"{self.line}:{self.column}" if self.column else str(self.line)
        parts = (f"{name}:{position}", key_path(self.location), self.message)
        return redact(": ".join(part for part in parts if part))


def shown_key(key: str) -> str:
    """`key` as messages show it: quoted when it is unusual, shortened when it is long."""
    if _PLAIN_KEY.fullmatch(key):
        return key
    return repr(key) if len(key) <= _LONGEST_KEY else repr(key[:_LONGEST_KEY]) + "..."


def key_path(location: Location) -> str:
    """`location` as people write it: `models[0].gate.minimum`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{shown_key(step)}" for step in location)
    return "".join(steps).removeprefix(".")

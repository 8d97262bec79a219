"""What the environment says about deployments and automations."""

import math
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from tasks.errors import InvalidInput


@dataclass(frozen=True)
class DeploySettings:
    """How often heads are compared, and how long a release waits for a person's answer.

    From `MODELFLIGHT_SYNC_INTERVAL` in seconds, and `MODELFLIGHT_APPROVAL_HOURS`.
    """

    sync_interval: timedelta
    approval: timedelta

    @classmethod
    def from_environment(cls) -> Self:
        """The settings.

        Raises:
            InvalidInput: one of them is no number, or out of range.
        """
        return cls(
            timedelta(seconds=_number("MODELFLIGHT_SYNC_INTERVAL", 300, 10, 86400)),
            timedelta(hours=_number("MODELFLIGHT_APPROVAL_HOURS", 72, 0.01, 24 * 365)),
        )


def _number(name: str, default: float, least: float, most: float) -> float:
    said = os.environ.get(name) or default
    try:
        number = float(said)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise InvalidInput(
            "A setting has no usable value.",
            where=f"{name}={said}",
            next_step=f"Set it to a number from {least:g} to {most:g}, or unset it.",
        )
    return number

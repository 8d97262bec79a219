"""Flagger's canaries: written, and stepped faster than Flagger's shortest interval."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.system.testbed.kubernetes_api import PATIENCE, KubernetesApi, Manifest, NotInTime, named

FLAGGER = "flagger.app/v1beta1"
STEP = 1.05  # seconds; Flagger looks for changed intervals each second


def canary(
    target: str,
    *,
    namespace: str = "default",
    port: int = 8080,
    iterations: int = 1,
    webhooks: Sequence[Mapping[str, Any]] = (),
    metrics: Sequence[Mapping[str, Any]] = (),
) -> Manifest:
    """A Canary for the Deployment `target`, with its name, that fails at the first failed check.

    Left alone it would be looked at each 10 minutes; `SteppedCanary` makes Flagger look.
    """
    analysis = {
        "interval": "600s",
        "threshold": 1,
        "iterations": iterations,
        "webhooks": webhooks,
        "metrics": metrics,
    }
    return {
        **named(FLAGGER, "Canary", target, namespace),
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "progressDeadlineSeconds": PATIENCE,
            "service": {"port": port},
            "analysis": analysis,
        },
    }


@dataclass(frozen=True)
class SteppedCanary:
    """A canary in a cluster.

    Flagger looks at it each 10 seconds at the most often, but at once when its interval was changed.
    """

    api: KubernetesApi
    name: str
    namespace: str = "default"

    @property
    def phase(self) -> str:
        """Where Flagger has got to; empty before it has seen the canary."""
        found = self.api.get(self._reference) or {}
        phase: str = found.get("status", {}).get("phase", "")
        return phase

    def step(self) -> None:
        """Makes Flagger advance the canary once."""
        found = self.api.wait_for(self._reference, lambda _: True, "there")
        interval = "601s" if found["spec"]["analysis"]["interval"] == "600s" else "600s"
        self.api.patch(self._reference, {"spec": {"analysis": {"interval": interval}}})
        time.sleep(STEP)

    def step_until(self, *phases: str) -> str:
        """Steps until the canary is in one of the phases; returns which.

        Raises:
            NotInTime: it did not get there; the message says where it is, and the namespace's events.
        """
        deadline = time.monotonic() + PATIENCE
        while (phase := self.phase) not in phases:
            if time.monotonic() > deadline:
                wanted = " or ".join(phases)
                raise NotInTime(
                    f"Canary {self.name} is {phase or 'unseen'} after {PATIENCE} s, not {wanted}.\n"
                    f"--- events in {self.namespace}\n{self.api.events(self.namespace)}"
                )
            self.step()
        return phase

    @property
    def _reference(self) -> Manifest:
        return named(FLAGGER, "Canary", self.name, self.namespace)

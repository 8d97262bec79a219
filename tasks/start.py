"""The start of a release of one commit: the same from a webhook, a comparison of heads, and a person."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tasks.release import CommitSha


@dataclass(frozen=True)
class Start:
    """A run of a model's deployment for one attempt at one commit of the repository at an address."""

    deployment: UUID
    repository: str
    commit: CommitSha
    attempt: int = 1

    @property
    def key(self) -> str:
        """The idempotency key: Prefect makes one flow run of it, however often it is asked to.

        Such keys are per flow there, not per deployment, and never expire.
        """
        return f"{self.deployment}:{self.repository}:{self.commit}:{self.attempt}"

    @property
    def parameters(self) -> dict[str, Any]:
        """What differs from the deployment's parameters."""
        return {"commit": self.commit, "attempt": self.attempt}

    @property
    def tags(self) -> list[str]:
        """Tags of the flow run, beside the deployment's."""
        return [f"commit:{self.commit[:12]}"]


def skips_release(message: str) -> bool:
    """Whether a commit's message asks for no release: it has `[skip release]`, in whatever case."""
    return "[skip release]" in message.lower()

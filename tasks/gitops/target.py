"""Where a model's image stands in the fleet repository."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.address import redact
from tasks.release import ReleasePlan


@dataclass(frozen=True)
class FleetTarget:
    """One model's place in a fleet repository.

    `path` is a folder or file from the repository's top; `image` is the image repository without tag and
    digest, as the fleet names it (`registry.example.com/models/wine`).
    """

    address: str
    branch: str
    path: str
    image: str

    @property
    def ref(self) -> str:
        """The branch as a full reference, which no tag of the same name can stand in for."""
        return f"refs/heads/{self.branch}"

    @property
    def pathspec(self) -> tuple[str, ...]:
        """Arguments that limit a git command to `path`; none for the repository's top."""
        path = str(PurePosixPath(self.path))
        return () if path == "." else (path,)

    @property
    def where(self) -> str:
        """The target for messages, without credentials."""
        return f"{redact(self.address)}, branch {self.branch}, path {self.path}"


def target_of(plan: ReleasePlan) -> FleetTarget:
    """The place that a release is going to change."""
    fleet = plan.model.fleet
    return FleetTarget(plan.fleet_address, fleet.branch, fleet.path, plan.model.image)

"""What a forge delivers, in one form for all of them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NOTHING = "0"  # commits that do not exist are all zeros
MOST_FILES = 300  # of one push; comparing the commits themselves is quicker then


@dataclass(frozen=True)
class Push:
    """One branch moved, appeared or vanished.

    `branch` is None for tags; `before` and `commit` are None where there was, or is, no commit. `message` is
    the new head's. `files` are all that the push changed, or None where the payload cannot tell them.
    """

    branch: str | None
    before: str | None
    commit: str | None
    message: str = ""
    files: frozenset[str] | None = None


Forge = Literal["github", "gitea", "gitlab", "bitbucket"]


@dataclass(frozen=True)
class Delivery:
    """A webhook's delivery; `repository` is the forge's `group/name`. Only pushes have `pushes`."""

    forge: Forge
    kind: Literal["push", "ping", "other"]
    repository: str = ""
    pushes: tuple[Push, ...] = ()


class Payload(BaseModel):
    """Part of a payload: types are not converted, and what is not needed is passed over."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


Sha = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
"""A commit, or zeros where there is none."""


class Commit(Payload):
    """A commit in a payload of GitHub, Gitea and GitLab; the lists are null in Gitea's test deliveries."""

    id: Sha
    message: str = ""
    added: list[str] | None = None
    removed: list[str] | None = None
    modified: list[str] | None = None

    @property
    def files(self) -> frozenset[str]:
        """All files that it changed."""
        return frozenset([*(self.added or ()), *(self.removed or ()), *(self.modified or ())])

    @property
    def is_listed(self) -> bool:
        """Whether the lists are there."""
        return None not in (self.added, self.removed, self.modified)


def existing(sha: str) -> str | None:
    """The commit; None for zeros."""
    return sha if sha.strip(NOTHING) else None


def branch_of(ref: str) -> str | None:
    """The branch's name in `refs/heads/NAME`; None for tags and all else."""
    prefix = "refs/heads/"
    return ref.removeprefix(prefix) if ref.startswith(prefix) else None


def files_of(commits: list[Commit], pushed: int) -> frozenset[str] | None:
    """The files that all `pushed` commits changed; None where not all of them are listed."""
    if not commits or len(commits) < pushed or not all(commit.is_listed for commit in commits):
        return None
    files = frozenset().union(*(commit.files for commit in commits))
    return files if len(files) <= MOST_FILES else None

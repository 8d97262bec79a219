"""Value types of one release: what each step of the chain hands to the next."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from tasks.artifact import Artifact
from tasks.inputs import Inputs
from tasks.model import Model


class _Identifier(str):
    """A string that matches its class's pattern; classes differ so that they are not mixed up."""

    pattern: re.Pattern[str]

    def __new__(cls, value: str) -> Self:
        if not cls.pattern.fullmatch(value):
            raise ValueError(f"{value!r} is no {cls.__name__}: wanted {cls.pattern.pattern}")
        return super().__new__(cls, value)


class CommitSha(_Identifier):
    """A Git commit: 40 hex digits, or 64 in a SHA-256 repository."""

    pattern = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Digest(_Identifier):
    """A content digest in OCI form, `sha256:` and 64 hex digits."""

    pattern = re.compile(r"sha256:[0-9a-f]{64}")


class ReleaseId(_Identifier):
    """`<model>-<commit, 12 hex>-<attempt>`; also the rollout id in the fleet."""

    pattern = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?-[0-9a-f]{12}-[1-9][0-9]*")

    @classmethod
    def of(cls, model: str, commit: CommitSha, attempt: int) -> Self:
        """The id of one attempt to release `model` from `commit`; attempts count from 1."""
        return cls(f"{model}-{commit[:12]}-{attempt}")

    @property
    def run_id(self) -> uuid.UUID:
        """The pipeline run's id: the same for every retry of this release."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"https://modelflight.dev/releases/{self}")


class Verdict(StrEnum):
    """How a release ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    PROMOTION_FAILED = "promotion_failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    UNTRACKED = "untracked"


@dataclass(frozen=True)
class Source:
    """A notebook repository at one commit, checked out under `directory`.

    `address` carries no credentials; `committed_at` is in UTC.
    """

    address: str
    commit: CommitSha
    committed_at: datetime
    subject: str
    directory: Path


@dataclass(frozen=True)
class ReleasePlan:
    """A release that passed every check that is possible before its first effect.

    `inputs` are what its model is going to be trained on.
    """

    release_id: ReleaseId
    model: Model
    source: Source
    fleet_address: str
    inputs: Inputs

    @property
    def tag(self) -> str:
        """The image's tag: immutable, and sorted by name also sorted by the commit's time (UTC)."""
        _, commit, attempt = self.release_id.rsplit("-", 2)
        return f"{self.source.committed_at:%Y%m%d-%H%M%S}-{commit}-{attempt}"


@dataclass(frozen=True)
class Pipeline:
    """A compiled notebook: KFP IR YAML at `path`; `identity` is the sha256 of all that went into it.

    `warnings` are for people: what the notebook asks for and the pipeline may not do.
    """

    identity: str
    path: Path
    steps: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainedModel:
    """What a pipeline run left: the model's files as an artifact, and its metrics by name."""

    run_id: uuid.UUID
    artifact: Artifact
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Interval:
    """Where the mean difference, challenger minus champion, lies with this `confidence` (0.95: 95 percent).

    `mean` is the difference that was seen, over as many `examples`.
    """

    low: float
    mean: float
    high: float
    confidence: float
    examples: int

    @property
    def told(self) -> str:
        """All of it in one line: `+0.01 on 178 examples, with 95 % confidence -0.02 to +0.04`."""
        return (
            f"{self.mean:+.6g} on {self.examples} examples, with {100 * self.confidence:g} % confidence "
            f"{self.low:+.6g} to {self.high:+.6g}"
        )


@dataclass(frozen=True)
class MetricComparison:
    """One metric of the challenger held against the fixed limit and the champion's.

    `limit` is the minimum (or the maximum where lower is better); `reasons` is empty when it passed. With an
    `interval` both models were evaluated on the same examples, and that decided instead of `champion`.
    """

    metric: str
    better: str
    challenger: float
    champion: float | None
    limit: float | None
    tolerance: float
    reasons: tuple[str, ...]
    interval: Interval | None = None

    @property
    def outcome(self) -> str:
        """`go`, or why it is refused."""
        return "refused: " + "; ".join(self.reasons) if self.reasons else "go"


@dataclass(frozen=True)
class GateDecision:
    """Whether the challenger may go on: every metric has to pass.

    `replaces` is the image reference as the fleet carried it, and `champion_image` is too, unless nothing
    served yet.
    """

    comparisons: tuple[MetricComparison, ...]
    champion_image: str | None
    replaces: str

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is refused, of all metrics; empty when it passed."""
        return tuple(reason for comparison in self.comparisons for reason in comparison.reasons)

    @property
    def passed(self) -> bool:
        """Whether the challenger may go on."""
        return not self.reasons


@dataclass(frozen=True)
class Approval:
    """A person's answer, or that there was none; `by` and `reason` are one line each, `at` is in UTC.

    `by` is what somebody said of themselves, and empty when nobody answered.
    """

    granted: bool
    by: str
    reason: str
    at: datetime

    @property
    def told(self) -> str:
        """The answer in one line."""
        if self.granted:
            return f"{self.by} approved it" + (f": {self.reason}" if self.reason else "")
        return (
            f"{self.by} refused it" + (f": {self.reason}" if self.reason else "") if self.by else self.reason
        )


@dataclass(frozen=True)
class ModelImage:
    """A packed model image. `size` counts the bytes of all blobs that the index reaches.

    `stored_in` is where it lies: `oci:FOLDER`, or the repository in a registry.
    """

    repository: str
    tag: str
    digest: Digest
    size: int
    stored_in: str

    @property
    def reference(self) -> str:
        """What the fleet carries: `repository:tag@digest`; only the digest decides."""
        return f"{self.repository}:{self.tag}@{self.digest}"


@dataclass(frozen=True)
class FleetCommit:
    """The commit that carries a release's image in the fleet repository.

    `created` is false when the commit was there already; `current` says whether the branch's head still
    carries the image; `diff` is the unified diff of the commit.
    """

    commit: CommitSha
    branch: str
    path: str
    diff: str
    created: bool
    current: bool


@dataclass(frozen=True)
class Span:
    """One step of a release on the clock: `started` in UTC, `seconds` it took, `outcome` in a few words."""

    step: str
    started: datetime
    seconds: float
    outcome: str


@dataclass(frozen=True)
class Release:
    """The end of one release; what it did not come to is None, or empty.

    `reasons` say why it was refused or superseded. A release that a newer commit superseded before it began
    has no `source`: the branch may have lost its commit.
    """

    release_id: ReleaseId
    model: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    source: Source | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    decision: GateDecision | None = None
    image: ModelImage | None = None
    approval: Approval | None = None
    fleet_commit: FleetCommit | None = None
    timeline: tuple[Span, ...] = ()

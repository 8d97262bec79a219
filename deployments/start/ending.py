"""How a release ended, wherever it ran: what the command line, job summaries and outputs tell of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from deployments import console
from deployments.verb import EXIT_REFUSED
from tasks import errors
from tasks.errors import ModelflightError
from tasks.release import Release, Verdict

EXIT_ROLLED_BACK = 11
EXIT_NO_VERDICT = 12
_EXIT_CODES = {
    Verdict.REFUSED: EXIT_REFUSED,
    Verdict.ROLLED_BACK: EXIT_ROLLED_BACK,
    Verdict.UNKNOWN: EXIT_NO_VERDICT,
    Verdict.PROMOTION_FAILED: 1,
}
# `ModelflightError.__str__`, after the exception's name.
_TOLD = re.compile(
    r"(?P<kind>\w+): (?P<what>.*?)(?:\nwhere: (?P<where>.*?))?(?:\nwhy: (?P<why>.*?))?"
    r"(?:\nnext: (?P<next>.*))?",
    re.DOTALL,
)


class NoVerdict(ModelflightError):
    """The release goes on, or waits for an answer, and nobody waits for it any longer."""

    exit_code = EXIT_NO_VERDICT


@dataclass(frozen=True)
class Ending:
    """The end of a release, or where it stands when nobody follows it further.

    `outcome` is the verdict, or the name of the run's state where there is none; what is not known is empty.
    `gate` has the rows of the gate's table, `page` is an address for people. With `error` the release failed.
    """

    outcome: str
    verdict: Verdict | None = None
    release_id: str = ""
    image: str = ""
    fleet_commit: str = ""
    reasons: str = ""
    gate: tuple[Mapping[str, str], ...] = ()
    page: str = ""
    error: ModelflightError | None = None

    @classmethod
    def of_release(cls, release: Release, page: str) -> Self:
        """The end of a release that ran in this process."""
        from tasks.gate.decide import describe

        return cls(
            outcome=str(release.verdict),
            verdict=release.verdict,
            release_id=release.release_id,
            image=release.image.reference if release.image else "",
            fleet_commit=release.fleet_commit.commit if release.fleet_commit else "",
            reasons="; ".join(release.reasons),
            gate=tuple(describe(release.decision)) if release.decision else (),
            page=page,
        )

    @classmethod
    def of_run(
        cls, run: Mapping[str, Any], tables: Mapping[str, Any], model: str, release_id: str, page: str
    ) -> Self:
        """The end of a run at a Prefect API, from its state and the tables that it left."""
        state = run["state"]
        name = str(state["name"])
        value = name.lower().replace(" ", "_")
        completed = state["type"] == "COMPLETED"
        verdict = Verdict(value) if completed and value in set(Verdict) else None
        row = (tables.get(f"{model}-release") or [{}])[0]
        ended = completed or state["type"] in ("FAILED", "CRASHED", "CANCELLED")
        return cls(
            outcome=str(verdict or name.lower()),
            verdict=verdict,
            release_id=row.get("release") or release_id,
            image=row.get("image", ""),
            fleet_commit=row.get("fleet commit", ""),
            reasons=(state.get("message") or "") if completed else "",
            gate=tuple(tables.get(f"{model}-gate", ())),
            page=page,
            error=None if completed or not ended else failure(name, state.get("message") or "", page),
        )

    @property
    def digest(self) -> str:
        """The image's digest."""
        return self.image.partition("@")[2]

    @property
    def exit_code(self) -> int:
        """How the command line ends."""
        if self.error is not None:
            return self.error.exit_code
        return _EXIT_CODES.get(self.verdict, 0) if self.verdict else 0

    @property
    def title(self) -> str:
        """The release and its outcome in one line."""
        return f"{self.release_id or 'release'}: {self.outcome}"

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "release_id": self.release_id,
            "outcome": self.outcome,
            "verdict": self.verdict and str(self.verdict),
            "image": self.image,
            "digest": self.digest,
            "fleet_commit": self.fleet_commit,
            "reasons": self.reasons,
            "gate": [dict(row) for row in self.gate],
            "run_url": self.page,
            "error": console.parts(self.error) if self.error else None,
        }

    def text(self) -> str:
        """All of it for people."""
        rows = {"image": self.image, "fleet": self.fleet_commit, "run": self.page}
        lines = [self.title, *([f"  {self.reasons}"] if self.reasons else [])]
        return "\n".join([*lines, *(f"  {name:<8} {value}" for name, value in rows.items() if value)])


def failure(state: str, message: str, page: str) -> ModelflightError:
    """The error that ended a run, made again from its state's message where it is one of ours."""
    told = _TOLD.fullmatch(message.removeprefix("Flow run encountered an exception: "))
    kind = getattr(errors, told["kind"], None) if told else None
    if told and isinstance(kind, type) and issubclass(kind, ModelflightError):
        return kind(told["what"], told["where"] or "", told["why"] or "", told["next"] or "")
    cancelled = state == "Cancelled"
    return ModelflightError(
        "The release was cancelled." if cancelled else f"The release ended as {state.lower()}.",
        where=page,
        why=message,
        next_step=("" if cancelled else "Look at the log of the run. ")
        + "Retry the run on its page, which goes on where it stopped, or start the next attempt.",
    )

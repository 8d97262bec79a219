"""Finishes a release: everything that is known of it in one value, its timeline shown."""

from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.lineage.trained import Trained, rows, trained_key
from tasks.markdown import text
from tasks.release import (
    Approval,
    FleetCommit,
    GateDecision,
    ModelImage,
    Release,
    ReleaseId,
    ReleasePlan,
    TrainedModel,
    Verdict,
)
from tasks.step import leave_artifact, name_flow_run, take_spans


def finish_release(
    plan: ReleasePlan,
    verdict: Verdict,
    reasons: tuple[str, ...],
    trained: TrainedModel,
    decision: GateDecision,
    image: ModelImage | None = None,
    approval: Approval | None = None,
    fleet_commit: FleetCommit | None = None,
) -> State[Release]:
    """The flow run's final state: named after the verdict, the whole release its data.

    What it came to, its timeline, and what it was trained on become artifacts.
    """
    release = Release(
        release_id=plan.release_id,
        model=plan.model.name,
        verdict=verdict,
        reasons=tuple(filter(None, reasons)),
        source=plan.source,
        metrics=dict(trained.metrics),
        decision=decision,
        image=image,
        approval=approval,
        fleet_commit=fleet_commit,
        timeline=take_spans(),
    )
    inputs = Trained(plan.release_id, verdict, plan.source.address, plan.inputs)
    leave_artifact(
        create_table_artifact,
        key=trained_key(plan.model.name),
        table=rows(inputs),
        description=f"What release {plan.release_id} was trained on; a schedule trains when it differs.",
    )
    return _ended(release)


def supersede_release(release_id: ReleaseId, model: str, reason: str) -> State[Release]:
    """The final state of a release that a newer commit superseded before it was fetched."""
    name_flow_run(release_id, [])
    return _ended(Release(release_id, model, Verdict.SUPERSEDED, (reason,), timeline=take_spans()))


def skip_release(reason: str) -> State[None]:
    """The final state of a schedule's run that has nothing to train: no release."""
    take_spans()
    return Completed(name="Skipped", message=reason)


def _ended(release: Release) -> State[Release]:
    row: dict[str, Any] = {
        "release": release.release_id,
        "verdict": release.verdict,
        "image": release.image.reference if release.image else "",
        "fleet commit": release.fleet_commit.commit if release.fleet_commit else "",
    }
    leave_artifact(
        create_table_artifact,
        key=f"{release.model}-release",
        table=[row],
        description="; ".join(map(text, release.reasons)) or "How the release ended.",
    )
    lines = "".join(
        f"| {span.started:%H:%M:%S} | {span.step} | {span.seconds:.1f} s | {text(span.outcome)} |\n"
        for span in release.timeline
    )
    leave_artifact(
        create_markdown_artifact,
        key=f"{release.model}-timeline",
        markdown=f"# {release.release_id}: {text(release.verdict)}\n\n"
        f"| began (UTC) | step | took | what came of it |\n|---|---|---|---|\n{lines}",
        description=f"The steps of release {release.release_id}. What an interrupted run had stored is kept, "
        "not repeated, and not listed.",
    )
    name = release.verdict.replace("_", " ").capitalize()
    return Completed(name=name, message="; ".join(release.reasons) or None, data=release)

"""Settles a release: its record is attached to its image, its timeline shown."""

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.annotations import RELEASE_RECORD
from tasks.lineage.record import release_record
from tasks.oci.referrer import attach
from tasks.release import (
    FleetCommit,
    GateDecision,
    ModelImage,
    Release,
    ReleasePlan,
    TrainedModel,
    Verdict,
)
from tasks.step import step, take_spans


@step("settle release", lambda verdict: str(verdict), timeout_seconds=300)
def settle_release(
    plan: ReleasePlan,
    trained: TrainedModel,
    decision: GateDecision,
    image: ModelImage,
    fleet_commit: FleetCommit,
) -> Verdict:
    """The verdict, after the release record was attached to the image as a referrer."""
    verdict = Verdict.UNTRACKED  # nothing follows the rollout yet
    attach(
        image.layout,
        image.digest,
        artifact_type=RELEASE_RECORD,
        media_type=RELEASE_RECORD,
        payload=release_record(plan, trained, decision, image, fleet_commit, verdict),
        annotations={},
    )
    return verdict


def finish_release(
    plan: ReleasePlan,
    trained: TrainedModel,
    decision: GateDecision,
    verdict: Verdict,
    image: ModelImage | None = None,
    fleet_commit: FleetCommit | None = None,
) -> State[Release]:
    """The flow run's final state: named after the verdict, the whole release its data.

    The timeline becomes an artifact.
    """
    spans = take_spans()
    rows = "".join(
        f"| {span.started:%H:%M:%S} | {span.step} | {span.seconds:.1f} s | {span.outcome} |\n"
        for span in spans
    )
    create_markdown_artifact(
        key=f"{plan.model.name}-timeline",
        markdown=f"# {plan.release_id}: {verdict}\n\n| began (UTC) | step | took | what came of it |\n"
        f"|---|---|---|---|\n{rows}",
        description=f"The steps of release {plan.release_id}.",
    )
    release = Release(
        release_id=plan.release_id,
        model=plan.model.name,
        source=plan.source,
        metrics=dict(trained.metrics),
        decision=decision,
        image=image,
        fleet_commit=fleet_commit,
        verdict=verdict,
        timeline=spans,
    )
    name = verdict.replace("_", " ").capitalize()
    return Completed(name=name, message="; ".join(decision.reasons) or None, data=release)

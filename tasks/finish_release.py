"""Finishes a release: everything that is known of it in one value, its timeline shown."""

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.markdown import text
from tasks.release import FleetCommit, GateDecision, ModelImage, Release, ReleasePlan, TrainedModel, Verdict
from tasks.step import leave_artifact, take_spans


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
        f"| {span.started:%H:%M:%S} | {span.step} | {span.seconds:.1f} s | {text(span.outcome)} |\n"
        for span in spans
    )
    leave_artifact(
        create_markdown_artifact,
        key=f"{plan.model.name}-timeline",
        markdown=f"# {plan.release_id}: {text(verdict)}\n\n| began (UTC) | step | took | what came of it |\n"
        f"|---|---|---|---|\n{rows}",
        description=f"The steps of release {plan.release_id}. What an interrupted run had stored is kept, "
        "not repeated, and not listed.",
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

"""Compares the new model with the fixed limit and with the model that serves."""

from pathlib import Path

from prefect.artifacts import create_table_artifact

from tasks.annotations import metrics_of
from tasks.gate.decide import decide, describe
from tasks.gitops.bump import serving_image
from tasks.gitops.target import FleetTarget
from tasks.oci.image import index_annotations
from tasks.release import Digest, GateDecision, ReleasePlan, TrainedModel
from tasks.step import step


@step(
    "check gate",
    lambda decision: "go" if decision.passed else "refused: " + "; ".join(decision.reasons),
    timeout_seconds=300,
)
def check_gate(plan: ReleasePlan, trained: TrainedModel, layout: Path) -> GateDecision:
    """The decision; the champion is what the fleet carried before this release.

    Its metrics travel on its image.
    """
    fleet = plan.model.fleet
    target = FleetTarget(plan.fleet_address, fleet.branch, fleet.path, plan.model.image)
    serving = serving_image(target, before=plan.release_id)
    _, _, digest = serving.partition("@")
    champion = metrics_of(index_annotations(layout, Digest(digest))) if digest else None
    decision = decide(plan.model.gate, trained.metrics, champion, serving if digest else None)
    create_table_artifact(
        key=f"{plan.model.name}-gate",
        table=describe(decision),
        description=f"# Gate: {'go' if decision.passed else 'refused'}\n\nRelease `{plan.release_id}`. "
        f"For {decision.metric}, {decision.better} is better."
        + (f" The champion is `{decision.champion_image}`." if decision.champion_image else ""),
    )
    return decision

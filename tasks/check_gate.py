"""Compares the new model with the fixed limits and with the model that serves."""

from prefect.artifacts import create_table_artifact

from tasks.annotations import metrics_of
from tasks.gate.decide import decide, describe
from tasks.gitops.bump import serving_image
from tasks.gitops.target import target_of
from tasks.markdown import code
from tasks.oci.image import index_annotations
from tasks.oci.images import open_images
from tasks.release import Digest, GateDecision, ReleasePlan, TrainedModel
from tasks.step import leave_artifact, step


@step(
    "check gate",
    lambda decision: "go" if decision.passed else "refused: " + "; ".join(decision.reasons),
    timeout_seconds=300,
)
def check_gate(
    plan: ReleasePlan, trained: TrainedModel, images: str, accept_unknown_champion: bool
) -> GateDecision:
    """The decision; the champion is what the fleet carried before this release.

    Its metrics travel on its image.
    """
    serving = serving_image(target_of(plan), before=plan.release_id)
    decision = decide(
        plan.model.gate,
        trained.metrics,
        _metrics_on(serving, images),
        serving,
        accept_unknown_champion=accept_unknown_champion,
    )
    leave_artifact(
        create_table_artifact,
        key=f"{plan.model.name}-gate",
        table=describe(decision),
        description=f"# Gate: {'go' if decision.passed else 'refused'}\n\nRelease {code(plan.release_id)}."
        + (f" The champion is {code(decision.champion_image)}" if decision.champion_image else ""),
    )
    return decision


def _metrics_on(image: str, images: str) -> dict[str, object] | None:
    """The metrics on the image; None when it has no digest, or one that is not at the address `images`."""
    try:
        digest = Digest(image.rpartition("@")[2])
    except ValueError:
        return None
    with open_images(images) as store:
        return metrics_of(index_annotations(store, digest))

"""Settles a release: its record is attached to its image."""

from tasks.lineage.record import MEDIA_TYPE, release_record
from tasks.oci.images import open_images
from tasks.oci.referrer import attach
from tasks.release import (
    Approval,
    FleetCommit,
    GateDecision,
    ModelImage,
    ReleasePlan,
    TrainedModel,
    Verdict,
)
from tasks.step import step


@step("settle release", lambda verdict: str(verdict), timeout_seconds=300)
def settle_release(
    plan: ReleasePlan,
    trained: TrainedModel,
    decision: GateDecision,
    image: ModelImage,
    approval: Approval | None,
    fleet_commit: FleetCommit | None,
) -> Verdict:
    """The verdict, after the release record was attached to the image as a referrer.

    Nothing follows the rollout yet, so a release that Git carries is untracked.
    """
    verdict = _verdict(approval, fleet_commit)
    with open_images(image.stored_in) as images:
        attach(
            images,
            image.digest,
            artifact_type=MEDIA_TYPE,
            media_type=MEDIA_TYPE,
            payload=release_record(plan, trained, decision, image, approval, fleet_commit, verdict),
            annotations={},
        )
    return verdict


def _verdict(approval: Approval | None, fleet_commit: FleetCommit | None) -> Verdict:
    if approval and not approval.granted:
        return Verdict.REFUSED
    return Verdict.UNTRACKED if fleet_commit and fleet_commit.current else Verdict.SUPERSEDED

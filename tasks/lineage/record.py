"""The release record: the story of one release as JSON, attached to its image."""

import json
from dataclasses import asdict

from tasks.metrics import json_metrics
from tasks.release import (
    Approval,
    FleetCommit,
    GateDecision,
    ModelImage,
    ReleasePlan,
    TrainedModel,
    Verdict,
)

MEDIA_TYPE = "application/vnd.modelflight.release.v1+json"


def release_record(
    plan: ReleasePlan,
    trained: TrainedModel,
    decision: GateDecision,
    image: ModelImage,
    approval: Approval | None,
    fleet_commit: FleetCommit | None,
    verdict: Verdict,
) -> bytes:
    """The record; the same release gives the same bytes however often it is repeated."""
    record = {
        "release_id": plan.release_id,
        "model": plan.model.name,
        "verdict": verdict,
        "notebook": {
            "repository": plan.source.address,
            "commit": plan.source.commit,
            "path": plan.model.notebook,
        },
        "run_id": str(trained.run_id),
        "data": {address: version.name or None for address, version in plan.inputs.data.items()},
        "metrics": json_metrics(trained.metrics),
        "gate": {
            "champion_image": decision.champion_image,
            "metrics": [
                {
                    "metric": comparison.metric,
                    "better": comparison.better,
                    "challenger": comparison.challenger,
                    "champion": comparison.champion,
                    "limit": comparison.limit,
                    "tolerance": comparison.tolerance,
                    "interval": comparison.interval and asdict(comparison.interval),
                }
                for comparison in decision.comparisons
            ],
        },
        "image": image.reference,
        "approval": approval
        and {
            "granted": approval.granted,
            "by": approval.by,
            "reason": approval.reason,
            "at": approval.at.isoformat(timespec="seconds"),
        },
        "fleet": {
            "repository": plan.fleet_address,
            "branch": plan.model.fleet.branch,
            "path": fleet_commit.path if fleet_commit else plan.model.fleet.path,
            "commit": fleet_commit and fleet_commit.commit,
        },
    }
    return json.dumps(record, indent=2, sort_keys=True).encode()

"""The release record: strict JSON, the same bytes for the same release, nothing left out."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from tasks.artifact import Artifact
from tasks.gate.decide import decide
from tasks.lineage.record import release_record
from tasks.release import Approval, CommitSha, Digest, FleetCommit, ModelImage, TrainedModel, Verdict
from tests.tasks.test_annotations import COMMIT, plan

TRAINED = TrainedModel(UUID(int=7), Artifact("file:///m", ()), {"score": 0.75, "loss": math.nan})
IMAGE = ModelImage("registry.example.com/models/wine", "tag", Digest("sha256:" + "a" * 64), 10, "oci:/l")
FLEET = FleetCommit(
    CommitSha("f" * 40), "main", "apps/wine/deployment.yaml", "diff", created=True, current=True
)


def record(
    trained: TrainedModel = TRAINED,
    fleet: FleetCommit | None = FLEET,
    attempt: int = 1,
    approval: Approval | None = None,
) -> bytes:
    decision = decide(plan().model.gate, trained.metrics, {"score": 0.5}, "serving")
    return release_record(plan(attempt), trained, decision, IMAGE, approval, fleet, Verdict.UNTRACKED)


def test_the_record_holds_what_the_release_was_made_of_as_strict_json():
    found = json.loads(record(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["release_id"] == f"wine-{COMMIT[:12]}-1"
    assert found["verdict"] == "untracked"
    assert found["notebook"] == {
        "repository": "https://git.example.com/n.git",
        "commit": COMMIT,
        "path": "wine.ipynb",
    }
    assert found["metrics"] == {"score": 0.75, "loss": None}
    assert found["gate"] == {
        "champion_image": None,
        "metrics": [
            {
                "metric": "score",
                "better": "higher",
                "challenger": 0.75,
                "champion": 0.5,
                "limit": None,
                "tolerance": 0.0,
                "interval": None,
            }
        ],
    }
    assert found["image"] == IMAGE.reference
    assert found["fleet"]["commit"] == FLEET.commit
    assert found["run_id"] == str(UUID(int=7))
    assert found["data"] == {"https://data.example.com/wine.csv": "etag"}
    assert found["approval"] is None


def test_the_record_says_who_answered_when_and_why_also_where_the_fleet_has_no_commit():
    answer = Approval(
        granted=False, by="Ada", reason="Monday", at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    )
    found = json.loads(record(fleet=None, approval=answer))
    assert found["approval"] == {
        "granted": False,
        "by": "Ada",
        "reason": "Monday",
        "at": "2026-01-02T03:04:05+00:00",
    }
    assert found["fleet"]["commit"] is None
    assert found["fleet"]["path"] == "apps/wine"


def test_a_repeated_release_has_the_same_record_and_another_attempt_another():
    repeated = replace(FLEET, created=False, diff="")
    reordered = replace(TRAINED, metrics=dict(reversed(TRAINED.metrics.items())))
    assert record() == record(reordered, repeated)
    assert record() != record(attempt=2)

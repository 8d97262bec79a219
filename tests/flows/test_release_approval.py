"""Releases that a person has to approve: asked in Prefect by a suspended run, or on the command line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.served import Served
from tests.repositories import SMALL_SETTINGS, Repositories, git

NEEDED = SMALL_SETTINGS + "    approval: before_bump\n"
ASKED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def release(prefect_api: str, warm_home: Path, repositories: Repositories) -> Callable[..., Any]:
    """A release that no deployment started."""
    from flows.release_model import release_model

    def run(**arguments: Any) -> Any:
        return release_model(repository=str(repositories.notebooks), **arguments)

    return run


def records(image: Any) -> list[dict[str, Any]]:
    """The release records that are attached to an image."""
    from tasks.lineage.record import MEDIA_TYPE
    from tasks.oci.images import open_images
    from tasks.oci.referrer import referrers

    with open_images(image["stored_in"]) as images:
        return [json.loads(found) for found in referrers(images, image["digest"], MEDIA_TYPE)]


@pytest.mark.worker
def test_a_run_waits_without_a_process_and_a_yes_brings_the_model_into_the_fleet(
    served: Served, warm_home: Path, repositories: Repositories
) -> None:
    repositories.push_small(NEEDED)
    run = served.start(served.deploy(repositories, warm_home))
    served.wait(run, "Suspended")
    assert repositories.releases() == []
    text, schema = served.question(run)
    assert "| score | higher | 0.9 | none serves yet |" in text
    assert git(repositories.notebooks, "rev-parse", "main") in text
    assert "registry.example.com/models/wine:" in text
    assert "`apps/wine`" in text
    assert schema["properties"]["approve"]["default"] is False
    trained = [path.stat().st_mtime_ns for path in warm_home.glob("runs/*/run.json")]
    assert served.steps(run)["run pipeline"] == 1

    assert served.answer(run, approve=True) == "REJECT"  # nobody's yes
    assert served.answer(run, approve=True, name=" Ada\nLovelace ", reason="good\r\nenough") == "ACCEPT"
    served.wait(run, "Untracked")
    message = git(repositories.fleet, "log", "-1", "--format=%B", "main")
    assert "Approved-By: Ada Lovelace\n" in message
    assert "Approval-Reason: good enough" in message
    assert [path.stat().st_mtime_ns for path in warm_home.glob("runs/*/run.json")] == trained
    steps = served.steps(run)
    assert steps.pop("check newest") == 2
    assert set(steps.values()) == {1}
    assert "Ada Lovelace" in served.artifact("small-approval")


@pytest.mark.worker
def test_a_no_ends_as_refused_with_the_reason(
    served: Served, warm_home: Path, repositories: Repositories
) -> None:
    repositories.push_small(NEEDED)
    run = served.start(served.deploy(repositories, warm_home))
    served.wait(run, "Suspended")
    served.answer(run, approve=False, name="Ada", reason="not on Mondays")
    state = served.wait(run, "Refused")
    assert state["message"] == "Ada refused it: not on Mondays"
    assert repositories.releases() == []


@pytest.mark.worker
def test_a_run_that_is_resumed_without_an_answer_is_refused(
    served: Served, warm_home: Path, repositories: Repositories
) -> None:
    repositories.push_small(NEEDED)
    run = served.start(served.deploy(repositories, warm_home, MODELFLIGHT_APPROVAL_HOURS="0.01"))
    served.wait(run, "Suspended")
    served.answer(run)
    state = served.wait(run, "Refused")
    assert state["message"] in (
        "the run was resumed without an answer",
        "nobody answered within 0.01 hours",  # on a slow machine
    )
    assert repositories.releases() == []


@pytest.mark.worker
def test_while_one_release_waits_a_newer_one_can_run_which_it_never_overwrites(
    served: Served, warm_home: Path, repositories: Repositories
) -> None:
    repositories.push_small(NEEDED)
    deployment = served.deploy(repositories, warm_home)
    first = served.start(deployment)
    served.wait(first, "Suspended")
    newer = repositories.push_small(NEEDED, score="score = 0.95")
    second = served.start(deployment)
    served.wait(second, "Suspended")
    served.answer(second, approve=True, name="Ada", reason="")
    served.wait(second, "Untracked")
    served.answer(first, approve=True, name="Ada", reason="")
    assert newer[:12] in served.wait(first, "Superseded")["message"]
    assert repositories.releases() == [f"small-{newer[:12]}-1"]


@pytest.mark.parametrize(
    ("form", "hours", "granted", "told"),
    [
        ({"approve": True, "name": "Ada"}, 1, True, "Ada approved it"),
        ({"approve": True, "name": "Ada", "reason": "fine"}, 1, True, "Ada approved it: fine"),
        ({"approve": True, "name": "Ada", "reason": "fine"}, 3, False, "later than 2 hours"),
        ({"approve": True, "name": " "}, 1, False, "needs the name"),
        ({"name": "Ada", "reason": "no"}, 3, False, "Ada refused it: no"),
        ({"reason": "no"}, 1, False, "no"),
        ({}, 1, False, "the run was resumed without an answer"),
        ({}, 2, False, "nobody answered within 2 hours"),
    ],
)
def test_only_a_yes_with_a_name_and_in_time_counts(
    form: dict[str, Any], hours: int, granted: bool, told: str
) -> None:
    from flows.approval import ApprovalForm, judge

    answer = judge(ApprovalForm(**form), ASKED + timedelta(hours=hours), ASKED, timedelta(hours=2))
    assert answer.granted is granted
    assert told in answer.told


def test_without_a_deployment_or_a_person_it_is_refused_before_anything_is_trained(
    release: Callable[..., Any], repositories: Repositories, home: Path
) -> None:
    from tasks.errors import InvalidInput

    repositories.push_small(NEEDED)
    with pytest.raises(InvalidInput) as caught:
        release()
    assert "--approve" in caught.value.next_step
    assert not (home / "runs").exists()


def test_who_approved_is_in_the_release_its_record_and_the_fleet_and_is_not_asked_again(
    release: Callable[..., Any], repositories: Repositories
) -> None:
    from flows.approval import answering
    from tasks.release import Approval, Verdict

    repositories.push_small(NEEDED)
    asked = []

    def approve(question: Any) -> Approval:
        asked.append(question)
        return Approval(True, "Ada", "fine", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    with answering(approve):
        done = release()
        again = release()
    assert len(asked) == 1
    assert asked[0].decision == done.decision
    assert again.approval == done.approval == Approval(True, "Ada", "fine", done.approval.at)
    assert again.fleet_commit.commit == done.fleet_commit.commit
    assert done.verdict is Verdict.UNTRACKED
    (record,) = records({"stored_in": done.image.stored_in, "digest": done.image.digest})
    assert record["approval"] == {
        "granted": True,
        "by": "Ada",
        "reason": "fine",
        "at": "2026-01-02T03:04:05+00:00",
    }


def test_a_no_on_the_terminal_is_in_the_record_and_leaves_the_fleet_alone(
    release: Callable[..., Any], repositories: Repositories
) -> None:
    from flows.approval import answering
    from tasks.release import Approval, Verdict

    repositories.push_small(NEEDED)
    with answering(lambda _question: Approval(False, "Ada", "not today", datetime.now(UTC))):
        done = release()
    assert done.verdict is Verdict.REFUSED
    assert done.reasons == ("Ada refused it: not today",)
    (record,) = records({"stored_in": done.image.stored_in, "digest": done.image.digest})
    assert (record["verdict"], record["approval"]["granted"]) == ("refused", False)
    assert repositories.releases() == []

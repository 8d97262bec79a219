"""Deliveries to a real receiver with a real Prefect server."""

import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.deployments.receiver.conftest import SECRET, Stage
from tests.deployments.receiver.payloads import FORGES, LISTING, ZEROS, Pushed, sha, signed
from tests.deployments.receiver.running import receiving


@pytest.mark.parametrize("forge", LISTING)
def test_a_push_starts_the_release_of_the_model_that_it_changed(stage: Stage, forge: str):
    push = Pushed(commits=[["README.md"], ["wine.ipynb", "README.md"]])
    answer = stage.receiver.deliver("notebooks", push.by(forge))
    assert answer.status_code == 202, answer.text
    [run] = answer.json()["runs"]
    assert run["deployment"] == "release-model/notebooks.wine"
    found = stage.prefect.ask("GET", f"/flow_runs/{run['flow_run_id']}")
    assert found["deployment_id"] == stage.wine
    assert found["parameters"] == {
        "repository": "here",
        "branch": "main",
        "commit": push.after,
        "model": "wine",
        "attempt": 1,
    }
    assert f"commit:{push.after[:12]}" in found["tags"]
    assert found["idempotency_key"] == (
        f"{stage.wine}:https://forge.example.com/git/ci/notebooks.git:{push.after}:1"
    )
    pages = stage.prefect.address.removesuffix("api") + "v2"
    assert run["url"] == f"{pages}/runs/flow-run/{run['flow_run_id']}"


@pytest.mark.parametrize("forge", FORGES)
def test_a_push_of_which_the_files_are_not_told_is_compared(stage: Stage, forge: str):
    push = Pushed(before=ZEROS)
    answer = stage.receiver.deliver("notebooks", push.by(forge))
    assert answer.status_code == 202, answer.text
    [run] = answer.json()["runs"]
    found = stage.prefect.ask("GET", f"/flow_runs/{run['flow_run_id']}")
    assert found["deployment_id"] == stage.sync
    assert found["parameters"] == {"registration": "notebooks"}


def test_a_changed_modelflight_yaml_is_compared(stage: Stage):
    answer = stage.receiver.deliver(
        "notebooks", Pushed(commits=[["modelflight.yaml"], ["wine.ipynb"]]).by("github")
    )
    assert [run["deployment"] for run in answer.json()["runs"]] == ["sync-models/sync-models"]


def test_a_shared_file_starts_all_models_that_have_it(stage: Stage):
    answer = stage.receiver.deliver("notebooks", Pushed(commits=[["requirements.lock"]]).by("github"))
    assert [run["deployment"] for run in answer.json()["runs"]] == [
        "release-model/notebooks.beer",
        "release-model/notebooks.wine",
    ]


@pytest.mark.parametrize("forge", FORGES)
@pytest.mark.parametrize(
    ("push", "reason"),
    [
        (Pushed(ref="refs/heads/other"), "branch main"),
        (Pushed(ref="refs/tags/v2"), "branch main"),
        (Pushed(after=ZEROS), "deleted"),
        (Pushed(message="Typo [Skip Release]"), "skip release"),
        (Pushed(before="a" * 40, after="a" * 40), "Test deliveries"),
    ],
)
def test_what_is_nothing_to_release_is_answered_with_the_reason(
    stage: Stage, forge: str, push: Pushed, reason: str
):
    answer = stage.receiver.deliver("notebooks", push.by(forge))
    assert answer.status_code == 200, answer.text
    assert reason in answer.json()["reason"]
    assert answer.json()["runs"] == []


def test_files_of_no_model_start_nothing(stage: Stage):
    answer = stage.receiver.deliver("notebooks", Pushed(commits=[["README.md"]]).by("github"))
    assert (answer.status_code, answer.json()["reason"]) == (200, "No file of a model changed.")


@pytest.mark.parametrize(
    "event",
    [
        {"X-GitHub-Event": "ping"},
        {"X-GitHub-Event": "issues"},
        {"X-Gitlab-Event": "Pipeline Hook"},
        {"X-Event-Key": "diagnostics:ping"},
        {"X-Gitea-Event": "pull_request", "X-GitHub-Event": "pull_request"},
    ],
)
def test_events_other_than_pushes_are_taken_and_start_nothing(stage: Stage, event: dict[str, str]):
    body = b'{"zen": "Design for failure."}'
    headers = signed({"Content-Type": "application/json", **event}, body, SECRET)
    answer = stage.receiver.deliver("notebooks", (headers, body))
    assert (answer.status_code, answer.json()["runs"]) == (200, [])


@pytest.mark.parametrize("forge", FORGES)
def test_the_secret_before_counts_too_and_another_does_not(stage: Stage, forge: str):
    assert stage.receiver.deliver("notebooks", Pushed().by(forge, "0ld")).status_code == 202
    assert stage.receiver.deliver("notebooks", Pushed().by(forge, "else")).status_code == 403


def test_a_changed_secret_counts_some_seconds_later(stage: Stage):
    stage.prefect.register("rotated", "https://forge.example.com/ci/notebooks.git", "one")
    push = Pushed(commits=[["README.md"]])
    _eventually(lambda: stage.receiver.deliver("rotated", push.by("github", "one")).status_code == 200)
    stage.prefect.register("rotated", "https://forge.example.com/ci/notebooks.git", "two", "one")
    _eventually(lambda: stage.receiver.deliver("rotated", push.by("github", "two")).status_code == 200)
    assert stage.receiver.deliver("rotated", push.by("github", "one")).status_code == 200
    stage.prefect.register("rotated", "https://forge.example.com/ci/notebooks.git", "two")
    _eventually(lambda: stage.receiver.deliver("rotated", push.by("github", "one")).status_code == 403)


def test_unknown_names_and_wrong_signatures_are_answered_alike(stage: Stage):
    wrong = stage.receiver.deliver("notebooks", Pushed().by("github", "else"))
    unknown = stage.receiver.deliver("nobody", Pushed().by("github"))
    unsigned = stage.receiver.deliver("unsigned", Pushed(repository="ci/unsigned").by("github", ""))
    assert [each.status_code for each in (wrong, unknown, unsigned)] == [403, 403, 403]
    assert wrong.text == unknown.text == unsigned.text
    assert wrong.headers["content-type"] == "application/problem+json"
    assert wrong.headers.keys() == unknown.headers.keys()


def test_a_signature_by_sha1_alone_is_refused(stage: Stage):
    headers, body = Pushed().by("gitea")
    kept = {name: value for name, value in headers.items() if "Signature" not in name}
    answer = stage.receiver.deliver(
        "notebooks", (kept, body), **{"X-Hub-Signature": headers["X-Hub-Signature"]}
    )
    assert answer.status_code == 403


def test_a_delivery_of_another_repository_is_refused_with_both_named(stage: Stage):
    answer = stage.receiver.deliver("notebooks", Pushed(repository="ci/others").by("github"))
    assert answer.status_code == 422
    assert "'ci/others'" in answer.json()["detail"]
    assert "block notebooks" in answer.json()["next_step"]


def test_a_repeated_delivery_is_answered_with_the_same_run(stage: Stage):
    delivered = Pushed().by("github")
    first = stage.receiver.deliver("notebooks", delivered)
    again = stage.receiver.deliver("notebooks", delivered)
    renamed = stage.receiver.deliver("notebooks", delivered, **{"X-GitHub-Delivery": str(uuid.uuid4())})
    assert first.json() == again.json() == renamed.json()
    assert first.status_code == again.status_code == renamed.status_code == 202


def test_a_repetition_after_a_restart_finds_the_same_run(stage: Stage, log: Path):
    delivered = Pushed().by("github")
    first = stage.receiver.deliver("notebooks", delivered)
    with receiving(stage.prefect.address, log) as other:
        assert other.deliver("notebooks", delivered).json() == first.json()


def test_identical_deliveries_at_once_start_one_run(stage: Stage):
    delivered = Pushed().by("gitea")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stage.receiver.deliver("notebooks", delivered), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["runs"][0]["flow_run_id"] for answer in answers}) == 1


def test_a_burst_ends_with_the_newest_commit_released_and_loses_none(stage: Stage):
    commits = [sha() for _ in range(40)]
    pushes = [
        Pushed(before=before, after=after, commits=[["src/a/b.csv"]])
        for before, after in zip([sha(), *commits], commits, strict=False)
    ]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda push: stage.receiver.deliver("notebooks", push.by("gitea")), pushes))
    assert {answer.status_code for answer in answers} == {202}
    released = {run["parameters"]["commit"]: run["id"] for run in stage.prefect.runs(stage.beer)}
    assert commits[-1] in released
    for push, answer in zip(pushes, answers, strict=True):
        [run] = answer.json()["runs"]
        assert released[run["commit"]] == run["flow_run_id"]
        assert commits.index(run["commit"]) >= commits.index(push.after)
        assert ("superseded" in answer.json()["reason"]) == (run["commit"] != push.after)


def test_a_paused_deployment_is_not_started(stage: Stage):
    cider = stage.prefect.deploy("notebooks", "cider", ["cider.ipynb"])
    stage.prefect.ask("POST", f"/deployments/{cider}/pause_deployment")
    push = Pushed(commits=[["cider.ipynb"]]).by("github")
    _eventually(lambda: "paused" in stage.receiver.deliver("notebooks", push).json()["reason"])
    assert stage.prefect.runs(cider) == []


def test_a_deployment_that_was_made_anew_is_found(stage: Stage):
    mead = stage.prefect.deploy("notebooks", "mead", ["mead.ipynb"])
    path = [["mead.ipynb"]]
    _eventually(
        lambda: stage.receiver.deliver("notebooks", Pushed(commits=path).by("github")).status_code == 202
    )
    stage.prefect.ask("DELETE", f"/deployments/{mead}")
    anew = stage.prefect.deploy("notebooks", "mead", ["mead.ipynb"])
    answer = stage.receiver.deliver("notebooks", Pushed(commits=path).by("github"))
    assert answer.status_code == 202
    assert len(stage.prefect.runs(anew)) == 1


def test_the_log_escapes_what_senders_write_and_holds_no_secret(stage: Stage):
    headers, body = Pushed(repository="a\n{}/b\x1b[31m").by("github")
    answer = stage.receiver.deliver("notebooks", (headers, body))
    assert answer.status_code == 422
    assert stage.receiver.deliver("%0A%7B%7D", (headers, body)).status_code == 403
    lines = stage.receiver.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith('{"time"')] == []
    assert all(json.loads(line) and line.isprintable() for line in lines)
    assert not re.search(f"{SECRET}|0ld|t0ken|{headers['X-Hub-Signature-256'][7:]}", "\n".join(lines))


def test_metrics_count_deliveries_by_forge_and_outcome(stage: Stage):
    def count() -> float:
        text = httpx.get(f"{stage.receiver.address}/metrics").text
        found = re.search(r'deliveries_total\{event="push",forge="gitlab",outcome="released"\} (\d+)', text)
        return float(found[1]) if found else 0

    before = count()
    stage.receiver.deliver("notebooks", Pushed().by("gitlab"))
    assert count() == before + 1


def test_behind_a_proxy_under_a_path_both_forms_of_the_path_are_understood(stage: Stage, log: Path):
    with receiving(stage.prefect.address, log, MODELFLIGHT_RECEIVER_ROOT_PATH="/flight/") as receiver:
        for address in (receiver.address, f"{receiver.address}/flight"):
            headers, body = Pushed().by("github")
            answer = httpx.post(f"{address}/webhooks/notebooks", content=body, headers=headers, timeout=60)
            assert answer.status_code == 202
        document = httpx.get(f"{receiver.address}/flight/openapi.json").json()
        assert document["servers"] == [{"url": "/flight"}]


def test_with_prefect_it_is_ready(stage: Stage):
    assert httpx.get(f"{stage.receiver.address}/ready").json() == {"status": "ok"}


def _eventually(is_so: object) -> None:
    """Registrations and deployments are known for some seconds."""
    assert callable(is_so)
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(1)

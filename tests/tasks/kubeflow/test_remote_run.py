"""Runs on Kubeflow Pipelines: each made once, followed whatever happens, ended when we are."""

import fcntl
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import kfp_server_api
import pytest

from tasks.clusters.connection import ClusterAddress, read_configuration
from tasks.errors import (
    InvalidInput,
    KubeflowAnswerLost,
    KubeflowRefused,
    KubeflowUnreachable,
    ModelflightError,
    ParameterInvalid,
    StepFailed,
)
from tasks.kubeflow.endpoint import Endpoint
from tasks.kubeflow.remote_run import Pace, run_pipeline
from tasks.kubeflow.run_state import Run, RunState
from tests.fakes.kubeflow import Kubeflow, running
from tests.tasks.kubeflow.pipelines import a, pipeline

ID = UUID("12345678-1234-5678-1234-567812345678")
QUICK = Pace(shortest=0.005, longest=0.01, patience=60)


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    with running(Kubeflow()) as served:
        yield served


@dataclass
class Here:
    """This machine: runs the pipeline at `ir`, and keeps what was told meanwhile."""

    kubeflow: Kubeflow
    ir: Path
    runs: Path
    endpoint: Endpoint
    lines: list[str] = field(default_factory=list)

    def run(self, **changed: Any) -> Run:
        usual = {"endpoint": self.endpoint, "identity": "this", "name": "wine-1", "pace": QUICK}
        return run_pipeline(self.ir, ID, self.runs, **{"progress": self.lines.append, **usual, **changed})

    def fails(self, error: type[ModelflightError], **changed: Any) -> ModelflightError:
        with pytest.raises(error) as told:
            self.run(**changed)
        assert told.value.next_step
        return told.value

    @property
    def created(self) -> int:
        return len(self.kubeflow.created)


@pytest.fixture
def here(kubeflow: Kubeflow, tmp_path: Path) -> Here:
    ir = pipeline(
        tmp_path / "ir.yaml",
        a("load", "wine = 1", leaves=("wine",)),
        a("train", "model = wine", takes={"wine": "load"}, leaves=("model",)),
        parameters={"n_trees": 10, "rate": 0.5, "label": "a"},
    )
    return Here(kubeflow, ir, tmp_path / "runs", Endpoint(kubeflow.address))


@pytest.fixture
def through_cluster(here: Here, kubeflow: Kubeflow) -> Here:
    kubeflow.token = "of-the-kubeconfig"
    address = ClusterAddress("kubeconfig", kubeconfig=kubeflow.kubeconfig())
    here.endpoint = Endpoint(cluster=partial(read_configuration, address))
    return here


def accepted(document: Any, kind: str) -> Any:
    """`document` as the published client's model takes it."""
    client = kfp_server_api.ApiClient()
    try:
        return client.deserialize(SimpleNamespace(data=json.dumps(document)), kind)
    finally:
        client.close()


def test_a_run_is_made_followed_and_told(here: Here, kubeflow: Kubeflow) -> None:
    run = here.run(overrides={"N_TREES": 20})

    assert (run.run_id, run.state) == (str(ID), RunState.SUCCEEDED)
    assert here.lines == [
        f"run {ID} on Kubeflow Pipelines",
        "the run is pending",
        "load-step ...",
        "train-step ...",
        "load-step done in 6.0 s",
        "train-step done in 6.0 s",
    ]
    assert kubeflow.created[0]["runtime_config"]["parameters"]["n_trees"] == 20


def test_what_is_asked_and_what_the_fake_answers_fit_the_published_schema(
    here: Here, kubeflow: Kubeflow
) -> None:
    here.run()

    asked = accepted(kubeflow.created[0], "V2beta1Run")
    assert kubeflow.created[0].keys() <= set(asked.attribute_map.values())
    configuration = kfp_server_api.Configuration(host=kubeflow.address)
    with kfp_server_api.ApiClient(configuration) as client:
        found = kfp_server_api.RunServiceApi(client).run_service_get_run(str(ID))
    assert (found.run_id, found.display_name, found.state) == (str(ID), "wine-1", "SUCCEEDED")
    assert found.error is None
    named = {task.display_name: task.state for task in found.run_details.task_details}
    assert named == {"root": None, None: None, "executor": "SKIPPED"} | dict.fromkeys(
        ("load-step", "train-step"), "SUCCEEDED"
    )


def test_a_platform_document_goes_along(here: Here, kubeflow: Kubeflow) -> None:
    with here.ir.open("a") as file:
        file.write("---\nplatforms: {kubernetes: {}}\n")
    here.run()
    assert kubeflow.created[0]["pipeline_spec"].keys() == {"pipeline_spec", "platform_spec"}


def test_a_run_that_is_there_is_not_made_again(here: Here, kubeflow: Kubeflow, tmp_path: Path) -> None:
    here.run()
    here.runs = tmp_path / "another machine"
    assert here.run().state is RunState.SUCCEEDED
    assert here.created == len(kubeflow.workflows) == 1


def test_a_run_of_another_pipeline_is_not_taken_for_this_one(here: Here) -> None:
    here.run()
    assert "another pipeline" in here.fails(KubeflowRefused, identity="that").what


@pytest.mark.parametrize("trouble", ["lost", "truncated"])
def test_a_run_whose_answer_was_lost_is_found(here: Here, kubeflow: Kubeflow, trouble: str) -> None:
    kubeflow.trouble = [("POST", trouble)]
    assert here.run().state is RunState.SUCCEEDED
    assert here.created == len(kubeflow.workflows) == 1


@pytest.mark.parametrize("trouble", [500, 502, 504, "killed", "cut"])
def test_a_run_that_may_have_begun_is_never_made_again(
    here: Here, kubeflow: Kubeflow, trouble: int | str
) -> None:
    kubeflow.trouble = [("POST", trouble)]
    error = here.fails(KubeflowRefused)
    assert not error.retryable
    assert f"pipeline/runid={ID}" in error.why
    here.fails(KubeflowRefused)
    assert kubeflow.made("POST") == 1


def test_a_workflow_without_a_run_is_stopped(through_cluster: Here, kubeflow: Kubeflow) -> None:
    kubeflow.workflows["of-another-run"] = "another"
    kubeflow.trouble = [("POST", "killed")]
    assert "wine-1" in through_cluster.fails(KubeflowRefused).why
    assert kubeflow.workflows == {"of-another-run": "another"}


@pytest.mark.parametrize("trouble", [400, 401, 403, 404, 409, 429, 501, "html"])
def test_what_refuses_a_run_leaves_none_so_that_it_can_be_made_later(
    here: Here, kubeflow: Kubeflow, trouble: int | str
) -> None:
    kubeflow.trouble = [("POST", trouble)]
    error = here.fails(KubeflowUnreachable if trouble == 429 else KubeflowRefused)
    assert error.retryable == (trouble == 429)
    assert here.run().state is RunState.SUCCEEDED
    assert here.created == 1


def test_two_attempts_at_once_make_one_run(here: Here, kubeflow: Kubeflow) -> None:
    kubeflow.moves = ["RUNNING"] * 20 + ["SUCCEEDED"]
    both = threading.Barrier(2)

    def attempt() -> Run:
        both.wait()
        return here.run(pace=Pace(0.05, 0.1))

    with ThreadPoolExecutor(2) as pool:
        ended = [each.result() for each in [pool.submit(attempt), pool.submit(attempt)]]
    assert [run.state for run in ended] == [RunState.SUCCEEDED] * 2
    assert here.created == len(kubeflow.workflows) == 1


def test_attempts_at_once_on_two_machines_end_with_the_same_run(
    here: Here, kubeflow: Kubeflow, tmp_path: Path
) -> None:
    other = replace(here, runs=tmp_path / "another machine")
    # Its look came too early; its request comes second, and is answered with 500.
    here.run()
    kubeflow.trouble = [("GET", "absent")]
    assert other.run().state is RunState.SUCCEEDED
    assert here.created == 2


@pytest.mark.parametrize("name", ["", "n" * 300])
def test_a_name_that_the_server_answers_with_500_is_not_sent(
    here: Here, kubeflow: Kubeflow, name: str
) -> None:
    here.fails(InvalidInput, name=name)
    assert not kubeflow.requests


@pytest.mark.parametrize("overrides", [{"n_trees": "ten"}, {"n_trees": 1.5}, {"nope": 1}])
def test_parameters_that_do_not_fit_are_not_sent(
    here: Here, kubeflow: Kubeflow, overrides: dict[str, Any]
) -> None:
    here.fails(ParameterInvalid, overrides=overrides)
    assert not kubeflow.requests


@pytest.mark.parametrize(
    "text", ["", "{}", "root: {dag: {tasks: {}}}\ncomponents: {}\ndeploymentSpec: {executors: {}}"]
)
def test_what_is_no_pipeline_is_not_sent(here: Here, kubeflow: Kubeflow, text: str) -> None:
    here.ir.write_text(text)
    here.fails(InvalidInput)
    assert not kubeflow.requests


@pytest.mark.parametrize("trouble", [429, 500, 502, 503, "cut", "truncated"])
def test_trouble_while_following_is_borne(here: Here, kubeflow: Kubeflow, trouble: int | str) -> None:
    kubeflow.moves = ["RUNNING", "SUCCEEDED"]
    here.run(progress=_once(lambda: kubeflow.trouble.extend([("GET", trouble)] * 3)))
    assert here.created == 1


def test_trouble_that_lasts_is_told_as_one_that_may_pass(here: Here, kubeflow: Kubeflow) -> None:
    begin = _once(lambda: kubeflow.trouble.extend([("GET", 503)] * 1000))
    error = here.fails(KubeflowAnswerLost, progress=begin, pace=Pace(0.005, 0.01, patience=0.05))
    assert error.retryable
    kubeflow.trouble.clear()
    assert here.run().state is RunState.SUCCEEDED
    assert here.created == 1


@pytest.mark.parametrize("trouble", [401, 403, 501, "html"])
def test_what_does_not_pass_is_not_waited_for(here: Here, kubeflow: Kubeflow, trouble: int | str) -> None:
    error = here.fails(KubeflowRefused, progress=_once(lambda: kubeflow.trouble.append(("GET", trouble))))
    assert not error.retryable


def test_a_wrong_path_is_not_taken_for_a_run_that_is_not_there(here: Here, kubeflow: Kubeflow) -> None:
    here.fails(KubeflowRefused, endpoint=Endpoint(f"{kubeflow.address}/wrong"))
    assert not kubeflow.made("POST")


def test_nobody_asks_while_another_attempt_does(here: Here, kubeflow: Kubeflow) -> None:
    here.runs.mkdir()
    with ThreadPoolExecutor(1) as pool:
        with (here.runs / f"{ID}.asked").open("w") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX)
            waiting = pool.submit(here.run)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
            assert not kubeflow.requests
        assert waiting.result().state is RunState.SUCCEEDED


def test_nobody_answers(here: Here) -> None:
    assert here.fails(KubeflowUnreachable, endpoint=Endpoint("http://127.0.0.1:1")).retryable


def test_a_run_that_somebody_deletes_is_told(here: Here, kubeflow: Kubeflow) -> None:
    kubeflow.moves = ["RUNNING", "DELETED"]
    assert "deleted" in here.fails(StepFailed).what
    here.fails(KubeflowRefused)  # and is not made again
    assert here.created == 1


def test_every_state_is_waited_through(here: Here, kubeflow: Kubeflow) -> None:
    kubeflow.moves = ["RUNTIME_STATE_UNSPECIFIED", "PENDING", "PAUSED", "RUNNING", "BRAND_NEW", "SUCCEEDED"]
    here.run()
    assert "the run is paused" in here.lines


def test_a_failed_run_that_is_retried_meanwhile_is_followed_on(here: Here, kubeflow: Kubeflow) -> None:
    kubeflow.moves = ["RUNNING", "FAILED", "RUNNING", "SUCCEEDED"]
    assert here.run().state is RunState.SUCCEEDED


def test_a_failure_names_the_step_and_shows_the_end_of_its_log(
    through_cluster: Here, kubeflow: Kubeflow
) -> None:
    kubeflow.moves, kubeflow.failing = ["RUNNING", "FAILED"], "train-step"
    kubeflow.log = "first\n" + "line\n" * 100 + "ValueError: no wine"
    error = through_cluster.fails(StepFailed)
    assert "'train'" in error.what
    assert error.why.endswith("ValueError: no wine")
    assert "first" not in error.why
    kubeflow.pods_remain = False
    assert "gone" in through_cluster.fails(StepFailed).why


def test_a_failure_without_a_cluster_says_where_the_reason_is(here: Here, kubeflow: Kubeflow) -> None:
    kubeflow.moves, kubeflow.failing = ["RUNNING", "FAILED"], "load-step"
    error = here.fails(StepFailed)
    assert "'load'" in error.what
    assert "log" in error.why


def test_a_failure_of_no_step_is_told(here: Here, kubeflow: Kubeflow) -> None:
    kubeflow.moves = ["FAILED"]
    assert "no step" in here.fails(StepFailed).why


@pytest.mark.parametrize("last", ["FAILED", "CANCELED"])
def test_a_run_that_somebody_terminates_is_told_as_cancelled(
    here: Here, kubeflow: Kubeflow, last: str
) -> None:
    kubeflow.moves = ["RUNNING", "CANCELING", last]
    assert "cancelled" in here.fails(StepFailed).what
    assert "the run is canceling" in here.lines


@pytest.mark.parametrize("last", [RunState.FAILED, RunState.CANCELED])
def test_what_unwinds_us_terminates_the_run(here: Here, kubeflow: Kubeflow, last: RunState) -> None:
    kubeflow.moves = ["RUNNING"] * 3

    def interrupt(line: str) -> None:
        if line.startswith("load-step"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        here.run(progress=interrupt)
    assert kubeflow.made("POST", ":terminate") == 1
    kubeflow.moves[-1] = last
    assert "cancelled" in here.fails(StepFailed).what


def test_our_own_errors_do_not_terminate_the_run(here: Here, kubeflow: Kubeflow) -> None:
    begin = _once(lambda: kubeflow.trouble.append(("GET", 403)))
    here.fails(KubeflowRefused, progress=begin)
    assert not kubeflow.made("POST", ":terminate")


def test_an_hour_costs_fewer_than_200_requests() -> None:
    assert len(list(takewhile(lambda passed: passed < 3600, accumulate(Pace().pauses())))) < 190


def _once(act: Callable[[], object]) -> Callable[[str], None]:
    """Acts when the first line is told, which is when the run was made and is going to be followed."""
    left = [act]

    def told(_line: str) -> None:
        if left:
            left.pop()()

    return told

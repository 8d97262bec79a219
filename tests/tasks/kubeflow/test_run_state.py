"""Runs as the API shows them, with whatever it leaves out or adds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.kubeflow.run_state import RunState, StepState, read_run

WORDS = st.sampled_from([*RunState, "-step", "a-step", "2037-11-23T20:36:45Z", "2037-11-23", "", "NEWER"])
KEYS = st.sampled_from(
    ["state", "state_history", "run_details", "task_details", "display_name", "start_time", "end_time"]
)
JSON = st.recursive(
    WORDS | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON))
def test_any_answer_is_read(document: dict[str, Any]) -> None:
    run = read_run(document)
    assert all(name.endswith("-step") and step.seconds >= 0 for name, step in run.steps.items())


def test_an_empty_answer_is_a_run_of_which_nothing_is_known() -> None:
    run = read_run({})
    assert (run.state, run.was_cancelled, dict(run.steps)) == (RunState.UNSPECIFIED, False, {})


@pytest.mark.parametrize("state", RunState)
def test_only_ends_are_last(state: RunState) -> None:
    ends = {"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"}
    assert read_run({"state": state.value}).state.is_last == (state in ends)


def test_a_step_that_goes_on_has_taken_no_time_yet() -> None:
    task = {
        "display_name": "a-step",
        "state": "RUNNING",
        "start_time": "2037-11-23T20:36:45Z",
        "end_time": "1970-01-01T00:00:00Z",
    }
    run = read_run({"run_details": {"task_details": [task]}})
    assert run.steps == {"a-step": StepState(RunState.RUNNING, 0)}


def test_a_run_that_was_cancelled_retried_and_failed_is_no_cancelled_one() -> None:
    states = ["PENDING", "RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED"]
    history = [{"state": state} for state in states]
    assert read_run({"state": "FAILED", "state_history": history[:4]}).was_cancelled
    assert not read_run({"state": "FAILED", "state_history": history}).was_cancelled

import json
import secrets
from pathlib import Path

import pytest

from tests.repositories import git
from tests.system.testbed.workflow import run_workflow

# What is JSON is YAML, too.
ACTION = {
    "name": "Greet",
    "description": "Greets a model",
    "inputs": {"model": {"description": "The model's name", "required": True}},
    "outputs": {"greeting": {"description": "The greeting", "value": "${{ steps.greet.outputs.greeting }}"}},
    "runs": {
        "using": "composite",
        "steps": [
            {
                "id": "greet",
                "shell": "bash",
                "env": {"MODEL": "${{ inputs.model }}"},
                "run": 'echo "greeting=hello $MODEL" >> "$GITHUB_OUTPUT"\n'
                'echo "# Greeted $MODEL" >> "$GITHUB_STEP_SUMMARY"',
            },
        ],
    },
}


def workflow(*steps: dict[str, object]) -> dict[str, object]:
    """A workflow that calls the action, and then takes `steps`."""
    first = [{"uses": "actions/checkout@v4"}, {"id": "action", "uses": "./action", "with": {"model": "wine"}}]
    return {"on": "push", "jobs": {"greet": {"runs-on": "ubuntu-latest", "steps": [*first, *steps]}}}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A Git working copy that holds the action."""
    folder = tmp_path / "checkout"
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / "action").mkdir()
    (folder / "action" / "action.yml").write_text(json.dumps(ACTION))
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def commit(checkout: Path, *steps: dict[str, object]) -> None:
    (checkout / ".github" / "workflows" / "greet.yml").write_text(json.dumps(workflow(*steps)))
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "Greet")


def test_an_action_takes_inputs_and_gives_outputs_and_a_summary(checkout: Path) -> None:
    commit(checkout, {"run": "echo '${{ steps.action.outputs.greeting }} and good bye'"})

    run = run_workflow(checkout)

    assert run.succeeded, run.log
    assert "hello wine and good bye" in run.log
    assert run.summary == "# Greeted wine\n"


def test_a_secret_is_used_and_not_shown(checkout: Path) -> None:
    token = secrets.token_hex(16)
    use = 'echo "the token is $TOKEN"; printf %s "$TOKEN" | wc -c | sed "s/^/its length is /"'
    commit(checkout, {"run": use, "env": {"TOKEN": "${{ secrets.TOKEN }}"}})

    run = run_workflow(checkout, secrets={"TOKEN": token})

    assert run.succeeded, run.log
    assert "its length is 32" in run.log
    assert "the token is ***" in run.log
    assert token not in run.log


def test_the_event_reaches_the_workflow(checkout: Path) -> None:
    commit(checkout, {"run": "echo 'pushed by ${{ github.event.pusher.name }}'"})
    run = run_workflow(checkout, payload={"pusher": {"name": "ada"}})
    assert "pushed by ada" in run.log


def test_a_failing_step_fails_the_run_and_leaves_what_was_summarised(checkout: Path) -> None:
    commit(checkout, {"run": "exit 3"}, {"run": "echo never"})

    run = run_workflow(checkout)

    assert not run.succeeded
    assert run.summary == "# Greeted wine\n"
    assert "never" not in run.log

"""The GitHub Action of infra/ in workflows that act runs: releases of the example on real parts."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.markdown import text
from tests.repositories import TOP
from tests.system.testbed.example import Example
from tests.system.testbed.up import Up
from tests.system.testbed.workflow import WorkflowRun, run_workflow

REPOSITORY = "modelflight/modelflight"


@dataclass(frozen=True)
class Workflow:
    """A workflow of the notebook repository, in which the action is used as on GitHub."""

    example: Example
    folder: Path

    def run(self, **inputs: str) -> WorkflowRun:
        """Pushes it, and runs it with the action's inputs."""
        step = {
            "id": "release",
            "uses": f"{REPOSITORY}/infra/github-action@v1",
            # It takes this Python, which has Modelflight, as no package index is at hand.
            "with": {"install": "false", **inputs},
        }
        told = {
            "if": "always()",
            "env": {"OUTPUTS": "${{ toJSON(steps.release.outputs) }}"},
            "run": f'printf %s "$OUTPUTS" > "{self.folder}/outputs"',
        }
        path = {"run": f'echo "{Path(sys.executable).parent}" >> "$GITHUB_PATH"'}
        steps = [{"uses": "actions/checkout@v4"}, path, step, told]
        notebooks = self.example.notebooks
        file = notebooks.folder / ".github" / "workflows" / "release.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        # What is JSON is YAML, too.
        jobs = {"release": {"runs-on": "ubuntu-latest", "steps": steps}}
        file.write_text(json.dumps({"on": "push", "jobs": jobs}, indent=2))
        notebooks.push("Release by a workflow")
        return run_workflow(
            notebooks.folder,
            secrets={"TOKEN": notebooks.gitea.token},
            actions={f"{REPOSITORY}@v1": self.folder / "project"},
        )

    @property
    def outputs(self) -> Mapping[str, str]:
        """What the action told later steps."""
        found: Mapping[str, str] = json.loads((self.folder / "outputs").read_text())
        return found


@pytest.fixture
def workflow(example: Example, tmp_path: Path) -> Workflow:
    action = Path("infra") / "github-action"
    shutil.copytree(TOP / action, tmp_path / "project" / action)
    return Workflow(example, tmp_path)


def assert_released(workflow: Workflow, run: WorkflowRun) -> None:
    """The fleet carries what the job says it released."""
    assert run.succeeded, run.log
    outputs, fleet = workflow.outputs, workflow.example.fleet
    assert outputs["verdict"] == "untracked"
    assert outputs["commit"] == fleet.pull()
    assert f"@{outputs['digest']}\n" in (fleet.folder / "apps/wine/deployment.yaml").read_text()
    commit = workflow.example.notebooks.git("rev-parse", "HEAD")
    assert outputs["release-id"] == f"wine-{commit[:12]}-1"
    assert run.summary.startswith(f"## {text(outputs['release-id'])}: untracked\n")
    assert "| metric | better | challenger | champion |" in run.summary
    assert "| go |" in run.summary
    assert workflow.example.notebooks.gitea.token not in run.log


def test_a_job_releases_the_example_at_a_prefect_api(workflow: Workflow, up: Up) -> None:
    deployment = workflow.example.deployment
    run = workflow.run(**{"prefect-api-url": up.api, "deployment": deployment})

    assert_released(workflow, run)
    [started] = [each for each in up.runs() if each["name"] == workflow.outputs["release-id"]]
    assert workflow.outputs["run-url"] == f"{up.address}/v2/runs/flow-run/{started['id']}"
    assert "run pipeline" in run.log


def test_a_job_releases_the_example_itself(workflow: Workflow) -> None:
    token = "${{ secrets.TOKEN }}"
    assert_released(workflow, workflow.run(**{"mode": "job", "token": token, "fleet-token": token}))


def test_a_release_that_the_gate_refuses_fails_the_job(workflow: Workflow, up: Up) -> None:
    notebooks = workflow.example.notebooks
    notebooks.change("modelflight.yaml", "minimum: 0.9,", "minimum: 0.99,")

    run = workflow.run(**{"prefect-api-url": up.api, "deployment": workflow.example.deployment})

    notebooks.change("modelflight.yaml", "minimum: 0.99,", "minimum: 0.9,")
    notebooks.push("The old limit")
    assert not run.succeeded
    assert "exit status 10" in run.log
    assert (workflow.outputs["verdict"], workflow.outputs["commit"]) == ("refused", "")
    assert run.summary.startswith(f"## {text(workflow.outputs['release-id'])}: refused\n")
    assert "| refused: accuracy 0.930556 is below the minimum 0.99 |" in run.summary

"""GitHub workflows, run on this machine by act."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.system.testbed.programs import ACT


@dataclass(frozen=True)
class WorkflowRun:
    """How a run ended: what a person would see in its log, and the summaries of its steps."""

    succeeded: bool
    log: str
    summary: str


# act empties the file of step summaries before each step, and removes it at the end.
_KEEPING_SUMMARIES = """\
#!/bin/bash
/bin/bash "$@"
status=$?
cat "$GITHUB_STEP_SUMMARY" >> "$KEPT_SUMMARIES"
exit $status
"""


def run_workflow(
    checkout: Path,
    event: str = "push",
    *,
    payload: Mapping[str, object] | None = None,
    secrets: Mapping[str, str] | None = None,
    actions: Mapping[str, Path] | None = None,
) -> WorkflowRun:
    """Runs the workflows below `checkout`, a Git working copy, that listen to `event`.

    Jobs run as this user, without containers, on a copy of the working copy: their first step has to be
    `actions/checkout`, which act does by itself. Steps are run by bash.

    Args:
        checkout: with workflows in `.github/workflows`.
        event: what happened to the repository.
        payload: the webhook's body.
        secrets: by name; the log shows none of their values.
        actions: folders with what `OWNER/REPOSITORY@REF` has on GitHub, for steps that use actions in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "summaries"
        kept.touch()
        bash = Path(folder) / "bin" / "bash"
        bash.parent.mkdir()
        bash.write_text(_KEEPING_SUMMARIES)
        bash.chmod(0o755)
        body = Path(folder) / "event.json"
        body.write_text(json.dumps(payload or {}))
        done = subprocess.run(
            [
                ACT.command("act"), event, "--platform=ubuntu-latest=-self-hosted", f"--eventpath={body}",
                "--no-cache-server", *(f"--secret={name}" for name in secrets or {}),
                *(f"--local-repository={name}={path}" for name, path in (actions or {}).items()),
            ],
            cwd=checkout,
            env={
                **os.environ, **(secrets or {}),
                "PATH": f"{bash.parent}:{os.environ['PATH']}", "KEPT_SUMMARIES": str(kept),
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        return WorkflowRun(done.returncode == 0, done.stdout, kept.read_text())

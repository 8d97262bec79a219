"""The verb `doctor`."""

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from deployments import console
from deployments.verb import verb

if TYPE_CHECKING:
    from flows.doctor import Finding


@click.command()
@verb
def doctor(output: str) -> int:
    """Tries everything that is registered.

    Repositories are read and a push to fleets is rehearsed, uploads begin in stores and registries and are
    taken back, Kubeflow and clusters are asked. All failures are told at once, each with what to do.
    """
    from deployments.prefect_run import reach_prefect

    with closing(console.StepLines()) as lines:
        reach_prefect(lines, shared=True)
    from flows.doctor import examine

    findings = examine(console.show_progress)
    failed = [finding for finding in findings if finding.error]
    document = {"findings": [_document(finding) for finding in findings]}
    told = [line for finding in findings for line in _lines(finding)]
    told.append(f"{len(findings) - len(failed)} of {len(findings)} can be used.")
    console.emit(document, "\n".join(told), output)
    return 1 if failed else 0


def _document(finding: "Finding") -> dict[str, Any]:
    error = console.parts(finding.error) if finding.error else None
    return {"subject": finding.subject, "ok": error is None, "said": finding.said, "error": error}


def _lines(finding: "Finding") -> list[str]:
    if finding.error is None:
        return [f"  ok      {finding.subject}: {finding.said}"]
    return [
        f"  FAILED  {finding.subject}",
        *(f"          {line}" for line in str(finding.error).splitlines()),
    ]

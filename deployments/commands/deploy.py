"""The verb `deploy`."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from deployments import console
from deployments.verb import verb

if TYPE_CHECKING:
    from flows.deploy_models import Deployed


@click.command()
@click.option(
    "--registration",
    "registrations",
    multiple=True,
    metavar="NAME",
    help="Only this notebook repository; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@click.option("--prune", is_flag=True, help="Delete deployments whose model vanished; else they are paused.")
@verb
def deploy(registrations: tuple[str, ...], dry_run: bool, prune: bool, output: str) -> int:
    """Makes a Prefect deployment for each registered model.

    Reads modelflight.yaml of the notebook repositories that are registered in Prefect's blocks, and creates,
    changes or pauses what differs, the automations too. What a person paused stays paused.
    """
    from deployments.prefect_run import reach_prefect

    with closing(console.StepLines()) as lines:
        reach_prefect(lines, shared=True)
    from flows.deploy_models import deploy_models

    done = deploy_models(registrations, dry_run=dry_run, prune=prune)
    console.emit(_document(done, dry_run), "\n".join(_lines(done, dry_run)), output)
    return max((problem.error.exit_code for problem in done.problems), default=0)


def _document(done: "Deployed", dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "actions": [
            {
                "do": action.do.value,
                "kind": action.kind,
                "name": action.title,
                "changes": console.plain(action.changes),
            }
            for action in done.actions
        ],
        "problems": [
            {"name": problem.subject, "error": console.parts(problem.error)} for problem in done.problems
        ],
    }


def _lines(done: "Deployed", dry_run: bool) -> Iterable[str]:
    from tasks.deployment.telling import tell

    counted = Counter(action.do.value for action in done.actions)
    for action in done.actions:
        if action.do != "unchanged":
            yield f"  {tell(action)}"
    for problem in done.problems:
        yield f"  FAILED    {problem.subject}"
        yield from (f"            {line}" for line in str(problem.error).splitlines())
    total = ", ".join(f"{number} {do}" for do, number in counted.items())
    failed = f"; {len(done.problems)} failed" if done.problems else ""
    yield f"{'Dry run, nothing was done: ' if dry_run else ''}{total}{failed}."
    if not done.repositories and not done.problems:
        yield "No notebook repository is registered: add a block of its type in Prefect's pages and repeat."

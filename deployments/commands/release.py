"""The verb `release`."""

from typing import TYPE_CHECKING

import click

from deployments import console
from deployments.verb import EXIT_REFUSED, model_option, verb

if TYPE_CHECKING:
    from tasks.release import Release


@click.command()
@click.argument("repository", default=".")
@model_option
@click.option("--commit", default="HEAD", show_default=True, help="Commit, branch or tag to release.")
@click.option(
    "--attempt", type=click.IntRange(min=1), default=1, show_default=True, help="Try of this commit."
)
@click.option(
    "--accept-unknown-champion",
    is_flag=True,
    help="Let the fixed limit decide alone where the champion's metrics are not known here.",
)
@click.option(
    "--approve",
    metavar="REASON",
    help="Approve it beforehand, where the model needs that; else the terminal asks.",
)
@verb
def release(
    repository: str,
    model: str | None,
    commit: str,
    attempt: int,
    accept_unknown_champion: bool,
    approve: str | None,
    output: str,
) -> int:
    """Releases a model: the whole chain.

    REPOSITORY is the notebook repository, a path or an address without credentials. Repeating a release, also
    one that was killed, goes on where it stopped. The Prefect API is the one that PREFECT_API_URL names,
    or one of its own.
    """
    from deployments.approver import approver
    from deployments.prefect_run import run_release

    done = run_release(
        repository,
        commit,
        model,
        attempt,
        accept_unknown_champion=accept_unknown_champion,
        approver=approver(approve),
    )
    return _show_release(done, output)


def _show_release(done: "Release", output: str) -> int:
    from tasks.release import Verdict

    meaning = {
        Verdict.UNTRACKED: "Git carries the new model; no rollout was followed.",
        Verdict.SUPERSEDED: "Git carries another model by now. To bring this one back: "
        f"--commit {done.release_id.split('-')[-2]} and an --attempt not used yet.",
        Verdict.REFUSED: "The fleet stays as it was.",
    }
    lines = [f"{done.release_id}: {done.verdict}", f"  {meaning[done.verdict]}"]
    lines += [f"  {reason}" for reason in done.reasons]
    if done.approval and done.approval.granted:
        lines += [f"  {done.approval.told}"]
    if done.image:
        lines += [f"  image    {done.image.reference}", f"  stored   {done.image.stored_in}"]
    if done.fleet_commit:
        fleet = done.fleet_commit
        lines += [f"  fleet    {fleet.commit} on {fleet.branch}, {fleet.path}"]
    console.emit(console.plain(done), "\n".join(lines), output)
    return EXIT_REFUSED if done.verdict is Verdict.REFUSED else 0

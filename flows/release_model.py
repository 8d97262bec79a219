"""The chain: from a commit in the notebook repository to a verdict."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from flows.approval import check_answerable, objection, wait_for_approval
from flows.at_rest import at_rest
from flows.registered import registered
from flows.resumptions import check_resumptions
from flows.settings import Home
from tasks.bump_fleet import bump_fleet
from tasks.check_backends import check_backends
from tasks.check_changed import check_changed
from tasks.check_gate import check_gate
from tasks.check_newest import check_newest, check_still_newest
from tasks.check_release import check_release
from tasks.compile_notebook import compile_notebook
from tasks.fetch_notebooks import fetch_notebooks
from tasks.finish_release import finish_release, skip_release, supersede_release
from tasks.pack_image import pack_image
from tasks.release import Release, Verdict
from tasks.run_pipeline import run_pipeline
from tasks.settle_release import settle_release


@flow(
    name="release-model",
    persist_result=True,
    on_completion=[at_rest],
    on_failure=[at_rest],
    on_crashed=[at_rest],
    on_cancellation=[at_rest],
)
def release_model(
    repository: str,
    commit: str = "HEAD",
    model: str | None = None,
    attempt: Annotated[int, Field(ge=1)] | None = None,
    accept_unknown_champion: bool = False,
    branch: str | None = None,
    retrain: bool = False,
) -> State[Release] | State[None]:
    """Releases a model: fetch, compile, train, gate, pack, bump, settle.

    Every step finds what an earlier, interrupted release with the same arguments has done, and goes on there.

    Args:
        repository: Address or path of the notebook repository. No credentials: Git's helpers supply them.
        commit: Commit, branch or tag to release.
        model: Name of the model in modelflight.yaml; may be left out when there is one.
        attempt: Counts deliberate new tries of the same commit, from 1. Empty: the first one, or, to retrain,
            the next.
        accept_unknown_champion: Let the fixed limit decide alone where the champion's metrics are not known.
        branch: The release ends as superseded when this branch has a newer version of the model, or has lost
            the commit. Leave it empty to release an older commit.
        retrain: Train the same commit again, as schedules do. Skipped when its files, data and locked
            packages are those of the last time.

    Returns:
        To a caller, the `Release`; its verdict names the flow run's final state. None when it was skipped.
    """
    check_resumptions()
    home = Home()
    with registered(repository) as backends:
        if branch and (newer := check_newest(repository, branch, commit, model, attempt)):
            return supersede_release(newer.release_id, newer.model, newer.reason)
        source = fetch_notebooks(repository, commit, home.sources)
        plan = check_release(source, model, attempt, retrain)
        check_answerable(plan)
        if retrain and (unchanged := check_changed(plan)):
            return skip_release(unchanged)
        artifacts, images = backends.artifacts, backends.images(plan.model.image, home)
        check_backends(artifacts, images)
        pipeline = compile_notebook(plan, home.pipelines)
        trained = run_pipeline(plan, pipeline, home.runs, artifacts)
        decision = check_gate(plan, trained, images, accept_unknown_champion, home.runs)
        if not decision.passed:
            return finish_release(plan, Verdict.REFUSED, decision.reasons, trained, decision)
        image = pack_image(plan, trained, images)
        approval = wait_for_approval(plan, decision, image)
        against = objection(approval) or (check_still_newest(plan, branch) if branch else "")
        fleet_commit = None if against else bump_fleet(plan, trained, decision, image, approval)
        verdict = settle_release(plan, trained, decision, image, approval, fleet_commit)
        return finish_release(plan, verdict, (against,), trained, decision, image, approval, fleet_commit)

"""The chain: from a commit in the notebook repository to a verdict."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from flows.registered import registered
from flows.settings import Home
from tasks.bump_fleet import bump_fleet
from tasks.check_backends import check_backends
from tasks.check_gate import check_gate
from tasks.check_release import check_release
from tasks.compile_notebook import compile_notebook
from tasks.fetch_notebooks import fetch_notebooks
from tasks.finish_release import finish_release
from tasks.pack_image import pack_image
from tasks.release import Release, Verdict
from tasks.run_pipeline import run_pipeline
from tasks.settle_release import settle_release


@flow(name="release-model", persist_result=True)
def release_model(
    repository: str,
    commit: str = "HEAD",
    model: str | None = None,
    attempt: Annotated[int, Field(ge=1)] = 1,
    accept_unknown_champion: bool = False,
) -> State[Release]:
    """Releases a model: fetch, compile, train, gate, pack, bump, settle.

    Every step finds what an earlier, interrupted release with the same arguments has done, and goes on there.

    Args:
        repository: Address or path of the notebook repository. No credentials: Git's helpers supply them.
        commit: Commit, branch or tag to release.
        model: Name of the model in modelflight.yaml; may be left out when there is one.
        attempt: Counts deliberate new tries of the same commit, from 1.
        accept_unknown_champion: Let the fixed limit decide alone where the champion's metrics are not known.

    Returns:
        To a caller, the `Release`; its verdict names the flow run's final state.
    """
    home = Home()
    with registered(repository) as backends:
        source = fetch_notebooks(repository, commit, home.sources)
        plan = check_release(source, model, attempt)
        artifacts, images = backends.artifacts, backends.images(plan.model.image, home)
        check_backends(artifacts, images)
        pipeline = compile_notebook(plan, home.pipelines)
        trained = run_pipeline(plan, pipeline, home.runs, artifacts)
        decision = check_gate(plan, trained, images, accept_unknown_champion)
        if not decision.passed:
            return finish_release(plan, trained, decision, Verdict.REFUSED)
        image = pack_image(plan, trained, images)
        fleet_commit = bump_fleet(plan, trained, decision, image)
        verdict = settle_release(plan, trained, decision, image, fleet_commit)
        return finish_release(plan, trained, decision, verdict, image, fleet_commit)

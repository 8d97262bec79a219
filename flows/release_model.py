"""The chain: from a commit in the notebook repository to a verdict."""

from prefect import State, flow

from flows.settings import Home
from tasks.bump_fleet import bump_fleet
from tasks.check_gate import check_gate
from tasks.check_release import check_release
from tasks.compile_notebook import compile_notebook
from tasks.fetch_notebooks import fetch_notebooks
from tasks.pack_image import pack_image
from tasks.release import Release, Verdict
from tasks.run_pipeline import run_pipeline
from tasks.settle_release import finish_release, settle_release


@flow(name="release-model", persist_result=True)
def release_model(
    repository: str, commit: str = "HEAD", model: str | None = None, attempt: int = 1
) -> State[Release]:
    """Releases a model: fetch, compile, train, gate, pack, bump, settle.

    Every step finds what an earlier, interrupted release with the same arguments has done, and goes on there.

    Args:
        repository: Address or path of the notebook repository. No credentials: Git's helpers supply them.
        commit: Commit, branch or tag to release.
        model: Name of the model in modelflight.yaml; may be left out when there is one.
        attempt: Counts deliberate new tries of the same commit, from 1.

    Returns:
        To a caller, the `Release`; its verdict names the flow run's final state.
    """
    home = Home()
    source = fetch_notebooks(repository, commit, home.sources)
    plan = check_release(source, model, attempt)
    layout = home.layout(plan.model.image)
    pipeline = compile_notebook(plan, home.pipelines)
    trained = run_pipeline(plan, pipeline, home.runs)
    decision = check_gate(plan, trained, layout)
    if not decision.passed:
        return finish_release(plan, trained, decision, Verdict.REFUSED)
    image = pack_image(plan, trained, layout)
    fleet_commit = bump_fleet(plan, trained, image)
    verdict = settle_release(plan, trained, decision, image, fleet_commit)
    return finish_release(plan, trained, decision, verdict, image, fleet_commit)


if __name__ == "__main__":
    release_model.serve()

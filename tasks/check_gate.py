"""Compares the new model with the fixed limits and with the model that serves."""

from functools import partial
from pathlib import Path

from prefect.artifacts import create_table_artifact

from tasks.annotations import metrics_of
from tasks.artifacts.reading import write_files
from tasks.gate.decide import Scores, decide, describe
from tasks.gitops.bump import serving_image
from tasks.gitops.target import target_of
from tasks.kubeflow.evaluation import evaluate
from tasks.markdown import code
from tasks.notebook.checkout import on_this_machine
from tasks.notebook.document import read_notebook
from tasks.notebook.evaluation import evaluation_cells
from tasks.oci.image import index_annotations
from tasks.oci.images import Images, open_images
from tasks.oci.model_files import unpack
from tasks.parameters import merge_parameters
from tasks.release import Digest, GateDecision, ReleasePlan, TrainedModel
from tasks.step import leave_artifact, report, step


@step(
    "check gate",
    lambda decision: "go" if decision.passed else "refused: " + "; ".join(decision.reasons),
    timeout_seconds=24 * 3600,  # evaluation functions of notebooks run in it
)
def check_gate(
    plan: ReleasePlan, trained: TrainedModel, images: str, accept_unknown_champion: bool, runs: Path
) -> GateDecision:
    """The decision; the champion is what the fleet carried before this release.

    Its metrics travel on its image, and its files lie in it, should an evaluation function ask for them.
    """
    serving = serving_image(target_of(plan), before=plan.release_id)
    with open_images(images) as store:
        champion = _digest(serving)
        decision = decide(
            plan.model.gate,
            trained.metrics,
            metrics_of(index_annotations(store, champion)) if champion else None,
            serving,
            scores=_scores(plan, trained, champion, store, runs) if champion else None,
            accept_unknown_champion=accept_unknown_champion,
        )
    leave_artifact(
        create_table_artifact,
        key=f"{plan.model.name}-gate",
        table=describe(decision),
        description=f"# Gate: {'go' if decision.passed else 'refused'}\n\nRelease {code(plan.release_id)}."
        + (f" The champion is {code(decision.champion_image)}" if decision.champion_image else ""),
    )
    return decision


def _digest(image: str) -> Digest | None:
    try:
        return Digest(image.rpartition("@")[2])
    except ValueError:
        return None


def _scores(
    plan: ReleasePlan, trained: TrainedModel, champion: Digest, store: Images, runs: Path
) -> dict[str, Scores]:
    """What the metrics' evaluation functions give; nothing where the champion's image is not in the store."""
    functions = {each.metric: each.evaluate.function for each in plan.model.gate if each.evaluate}
    found = store.find(champion) if functions else None
    if found is None:
        return {}
    notebook = read_notebook(on_this_machine(plan.source).directory, plan.model.notebook)
    parameters = merge_parameters(notebook.parameters, plan.model.parameters, plan.model.notebook)
    scores = evaluate(
        evaluation_cells(notebook, parameters),
        dict.fromkeys(functions.values()),
        {"challenger": partial(write_files, trained.artifact), "champion": partial(unpack, store, found)},
        runs / f"{trained.run_id}-gate",
        report,
    )
    return {
        metric: (scores[function, "challenger"], scores[function, "champion"])
        for metric, function in functions.items()
    }

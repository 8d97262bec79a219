"""Bumps the image in the fleet repository: one commit, one digest."""

from prefect.artifacts import create_markdown_artifact

from tasks.errors import ImageCorrupt
from tasks.gitops.approval import approval_trailers
from tasks.gitops.bump import bump
from tasks.gitops.target import target_of
from tasks.markdown import block, code
from tasks.oci.images import open_images
from tasks.release import Approval, FleetCommit, GateDecision, ModelImage, ReleasePlan, TrainedModel
from tasks.step import leave_artifact, step


@step(
    "bump fleet",
    lambda commit: (
        f"{commit.commit[:12]} on {commit.branch}" + ("" if commit.created else " (was there already)")
    ),
    timeout_seconds=600,
)
def bump_fleet(
    plan: ReleasePlan,
    trained: TrainedModel,
    decision: GateDecision,
    image: ModelImage,
    approval: Approval | None,
) -> FleetCommit:
    """The fleet's commit that carries the image; an earlier one of this release when there is one."""
    _check_stored(image)
    commit = bump(
        target_of(plan),
        image=image.reference,
        release_id=plan.release_id,
        subject=f"Release {plan.model.name} {plan.source.commit[:12]}",
        trailers={
            "Model": plan.model.name,
            "Model-Image-Digest": image.digest,
            "Notebook-Repository": plan.source.address,
            "Notebook-Commit": plan.source.commit,
            "Pipeline-Run": str(trained.run_id),
            **approval_trailers(approval),
        },
        expected=decision.replaces,
    )
    leave_artifact(
        create_markdown_artifact,
        key=f"{plan.model.name}-fleet",
        markdown=f"# Fleet commit\n\n{code(commit.commit)}\n\n"
        f"Branch {code(commit.branch)} of {code(plan.fleet_address)}\n\n{block(commit.diff, 'diff')}",
        description=f"What release {plan.release_id} changed in the fleet repository.",
    )
    return commit


def _check_stored(image: ModelImage) -> None:
    """Git must not name what cannot be pulled: a resumed flow run may find its images gone."""
    with open_images(image.stored_in) as images:
        found = images.find(image.digest)
    if found is None:
        raise ImageCorrupt(
            "The packed image is not there any more.",
            where=f"{image.stored_in}, {image.digest}",
            next_step="Release again in a new flow run: it packs the model anew.",
        )

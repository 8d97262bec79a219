"""Bumps the image in the fleet repository: one commit, one digest."""

from prefect.artifacts import create_markdown_artifact

from tasks.gitops.bump import bump
from tasks.gitops.target import FleetTarget
from tasks.release import FleetCommit, ModelImage, ReleasePlan, TrainedModel
from tasks.step import step


@step(
    "bump fleet",
    lambda commit: (
        f"{commit.commit[:12]} on {commit.branch}" + ("" if commit.created else " (was there already)")
    ),
    timeout_seconds=600,
)
def bump_fleet(plan: ReleasePlan, trained: TrainedModel, image: ModelImage) -> FleetCommit:
    """The fleet's commit that carries the image; an earlier one of this release when there is one."""
    fleet = plan.model.fleet
    commit = bump(
        FleetTarget(plan.fleet_address, fleet.branch, fleet.path, plan.model.image),
        image=image.reference,
        release_id=plan.release_id,
        subject=f"Release {plan.model.name} {plan.source.commit[:12]}",
        trailers={
            "Model": plan.model.name,
            "Model-Image-Digest": image.digest,
            "Notebook-Repository": plan.source.address,
            "Notebook-Commit": plan.source.commit,
            "Pipeline-Run": str(trained.run_id),
        },
    )
    create_markdown_artifact(
        key=f"{plan.model.name}-fleet",
        markdown=f"# Fleet commit\n\n`{commit.commit}`\n\n"
        f"Branch `{commit.branch}` of `{plan.fleet_address}`\n\n```diff\n{commit.diff}\n```\n",
        description=f"What release {plan.release_id} changed in the fleet repository.",
    )
    return commit

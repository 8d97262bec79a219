"""Packs the model into an OCI image, bit for bit the same for the same model."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from tasks.annotations import image_annotations
from tasks.oci.image import pack
from tasks.release import ModelImage, ReleasePlan, TrainedModel
from tasks.step import step


@step(
    "pack image",
    lambda image: f"{image.digest[:19]}, {image.size:,} bytes, tag {image.tag}",
    timeout_seconds=3600,
)
def pack_image(plan: ReleasePlan, trained: TrainedModel, layout: Path) -> ModelImage:
    """The image, written into the OCI layout folder `layout`."""
    packed = pack(
        trained.directory,
        layout,
        tag=plan.tag,
        annotations=image_annotations(plan, trained),
        created=plan.source.committed_at,
    )
    image = ModelImage(plan.model.image, packed.tag, packed.digest, packed.size, layout)
    create_markdown_artifact(
        key=f"{plan.model.name}-image",
        markdown="# Model image\n\n| | |\n|---|---|\n"
        f"| reference | `{image.reference}` |\n| digest | `{image.digest}` |\n"
        f"| size | {image.size:,} bytes |\n| files | {', '.join(trained.files)} |\n"
        f"| stored in | `oci:{layout}` |\n",
        description=f"The model of release {plan.release_id} as an OCI image.",
    )
    return image

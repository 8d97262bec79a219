"""Packs the model into an OCI image, bit for bit the same for the same model."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from tasks.annotations import image_annotations
from tasks.markdown import code
from tasks.oci.image import pack
from tasks.release import ModelImage, ReleasePlan, TrainedModel
from tasks.step import leave_artifact, step


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
    rows = {
        "reference": code(image.reference),
        "digest": code(image.digest),
        "size": f"{image.size:,} bytes",
        "files": ", ".join(map(code, trained.files)),
        "stored in": code(f"oci:{layout}"),
    }
    leave_artifact(
        create_markdown_artifact,
        key=f"{plan.model.name}-image",
        markdown="# Model image\n\n| | |\n|---|---|\n"
        + "".join(f"| {name} | {value} |\n" for name, value in rows.items()),
        description=f"The model of release {plan.release_id} as an OCI image.",
    )
    return image

"""Packs the model into an OCI image, bit for bit the same for the same model, and stores it."""

from prefect.artifacts import create_markdown_artifact

from tasks.annotations import image_annotations
from tasks.artifacts.reading import reading
from tasks.markdown import code
from tasks.oci.image import pack
from tasks.oci.images import open_images
from tasks.release import ModelImage, ReleasePlan, TrainedModel
from tasks.step import leave_artifact, step


@step(
    "pack image",
    lambda image: f"{image.digest[:19]}, {image.size:,} bytes, tag {image.tag}",
    timeout_seconds=3600,
)
def pack_image(plan: ReleasePlan, trained: TrainedModel, images: str) -> ModelImage:
    """The image, stored at the address `images`."""
    with reading(trained.artifact) as read, open_images(images) as store:
        packed = pack(
            trained.artifact,
            read,
            store,
            tag=plan.tag,
            annotations=image_annotations(plan, trained),
            created=plan.source.committed_at,
        )
    image = ModelImage(plan.model.image, packed.tag, packed.digest, packed.size, images)
    rows = {
        "reference": code(image.reference),
        "digest": code(image.digest),
        "size": f"{image.size:,} bytes",
        "files": ", ".join(code(file.path) for file in trained.artifact.files),
        "stored in": code(image.stored_in),
    }
    leave_artifact(
        create_markdown_artifact,
        key=f"{plan.model.name}-image",
        markdown="# Model image\n\n| | |\n|---|---|\n"
        + "".join(f"| {name} | {value} |\n" for name, value in rows.items()),
        description=f"The model of release {plan.release_id} as an OCI image.",
    )
    return image

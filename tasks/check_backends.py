"""Checks that what the release is going to leave can be stored, before an hour of training."""

from tasks.artifacts.keep import check_store
from tasks.oci.images import open_images
from tasks.step import step


@step("check backends", lambda stored: stored, timeout_seconds=300)
def check_backends(artifacts: str, images: str) -> str:
    """Where artifacts and images are going to be stored, in a few words; both can be written to."""
    check_store(artifacts)
    with open_images(images) as store:
        store.check()
    return f"images in {images}; artifacts in {artifacts or 'the run'}"

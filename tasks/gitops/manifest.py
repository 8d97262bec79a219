"""Where a Kubernetes manifest carries an image, and whether it can be changed there; pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tasks.gitops.scalar import Keys, Scalar, documents

ROLLOUT_ID = "modelflight.dev/rollout-id"
_ANNOTATION = ("spec", "template", "metadata", "annotations", ROLLOUT_ID)
# `image` of containers and init containers, `volumes[].image.reference` of image volumes.
_KEYS = (("image",), ("reference",))
_TAG_AND_DIGEST = re.compile(r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[a-z0-9]+:[0-9a-f]{32,})?")


@dataclass(frozen=True)
class Place:
    """A scalar of `file` that carries the image, and the rollout ids of the pod template around it."""

    file: str
    image: Scalar
    rollout_ids: tuple[Scalar, ...]


def find(file: str, content: bytes, image: str) -> list[Place]:
    """The places of `file` whose image is `image` (a repository) with any tag or digest, from top to bottom.

    Raises:
        FleetTargetInvalid: the file is no UTF-8 or no YAML; the message has the line.
    """
    return [place for document in documents(file, content) for place in _places(file, document, image)]


def images(file: str, content: bytes) -> list[Scalar]:
    """Every image of `file`, to tell people what stands there.

    Raises:
        FleetTargetInvalid: as `find`.
    """
    return [
        scalar for document in documents(file, content) for path, scalar in document if path[-1:] in _KEYS
    ]


def _places(file: str, document: list[tuple[Keys, Scalar]], image: str) -> Iterator[Place]:
    depth = len(_ANNOTATION)
    annotations = [(path[:-depth], scalar) for path, scalar in document if path[-depth:] == _ANNOTATION]
    for path, scalar in document:
        value = scalar.value.strip()  # a block scalar ends with a line break
        rest = value.removeprefix(image)
        if path[-1:] not in _KEYS or rest == value or (rest and rest[0] not in ":@"):
            continue
        if not scalar.fault and not _TAG_AND_DIGEST.fullmatch(rest):
            scalar = replace(scalar, fault="holds a template, or something else that is no tag or digest")
        # The annotation belongs to the image when the object that holds the pod template holds both.
        around = (note for owner, note in annotations if path[: len(owner)] == owner)
        yield Place(file, scalar, tuple(around))

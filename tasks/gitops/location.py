"""The one place of the fleet that carries a model's image."""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.errors import FleetTargetInvalid
from tasks.gitops.manifest import Place, find, images
from tasks.gitops.repository import FleetRepository
from tasks.gitops.splice import check

_SHOWN = 20  # candidates in a message, and files searched for them


@dataclass(frozen=True)
class Location:
    """The place at one commit, with its file's bytes."""

    place: Place
    content: bytes

    def carries(self, image: str, rollout_id: str | None) -> bool:
        """Whether exactly this image stands there, and no other rollout id than this one, if it is given."""
        return self.place.image.value == image and all(
            rollout_id in (None, scalar.value) for scalar in self.place.rollout_ids
        )


def locate(fleet: FleetRepository, commit: str) -> Location:
    """The target's place at the commit.

    Raises:
        FleetTargetInvalid: the path does not exist, no place or several places carry the image, or the place
            cannot be changed safely.
    """
    files = {file: fleet.read(commit, file) for file in fleet.carriers(commit)}
    image = fleet.target.image
    places = [place for file, content in files.items() for place in find(file, content, image)]
    if not places:
        raise _nowhere(fleet, commit)
    if len(places) > 1:
        raise FleetTargetInvalid(
            f"The image {image} stands in {len(places)} places of the fleet, not in one.",
            where=fleet.target.where,
            why="\n".join(f"{p.file}:{p.image.line} {p.image.value}" for p in places[:_SHOWN]),
            next_step="Let fleet.path name the one file or folder of this model.",
        )
    place = places[0]
    check(place)
    return Location(place, files[place.file])


def _nowhere(fleet: FleetRepository, commit: str) -> FleetTargetInvalid:
    if not fleet.files(commit):
        return FleetTargetInvalid(
            "The fleet repository has no such path.",
            where=fleet.target.where,
            next_step="Correct fleet.path: it names a folder or file from the repository's top.",
        )
    candidates = list(_candidates(fleet, commit))
    return FleetTargetInvalid(
        f"The image {fleet.target.image} stands nowhere in the fleet.",
        where=fleet.target.where,
        why="\n".join(["These images stand there:", *candidates[:_SHOWN]])
        if candidates
        else "No YAML file there has an image.",
        next_step=f"Write {fleet.target.image} as the value of `image:` or `reference:` once, or correct "
        "fleet.path or the model's image.",
    )


def _candidates(fleet: FleetRepository, commit: str) -> Iterator[str]:
    for file in fleet.manifests(commit)[:_SHOWN]:
        try:
            found = images(file, fleet.read(commit, file))
        except FleetTargetInvalid:
            continue  # broken YAML does not carry the image; the message is about the others
        yield from (f"{file}:{scalar.line} {scalar.value}" for scalar in found)

"""Replacing scalars of a manifest in place; every other byte stays; pure."""

from tasks.errors import FleetTargetInvalid
from tasks.gitops.manifest import Place
from tasks.gitops.scalar import Scalar, text_of

# What a person would call a difference, of all kinds of events that a YAML parser reports.
_MEANING = ("anchor", "tag", "implicit", "style", "flow_style", "explicit", "version", "tags")


def splice(place: Place, content: bytes, image: str, rollout_id: str | None) -> bytes:
    """`content` with the place's image and rollout ids replaced, in the quotes that stand there.

    Without a `rollout_id` those that stand there stay.

    Raises:
        FleetTargetInvalid: a scalar cannot be replaced safely; the message has file and line.
    """
    mark, text = text_of(place.file, content)
    check(place)
    changes = {place.image: image}
    if rollout_id is not None:
        changes |= dict.fromkeys(place.rollout_ids, rollout_id)
    changed = text
    for scalar in sorted(changes, key=lambda scalar: scalar.start, reverse=True):
        written = f"{scalar.quote}{changes[scalar]}{scalar.quote}"
        changed = changed[: scalar.start] + written + changed[scalar.end :]
    wanted = {scalar.start: value for scalar, value in changes.items()}
    if not _differ_only_in(wanted, text, changed):
        raise _refused(place.file, place.image, "The file would mean something else elsewhere afterwards.")
    return (mark + changed).encode("utf-8")


def check(place: Place) -> None:
    """Lets a place through whose scalars can all be replaced.

    Raises:
        FleetTargetInvalid: one cannot; the message has file, line and reason.
    """
    for scalar in (place.image, *place.rollout_ids):
        if scalar.fault:
            raise _refused(place.file, scalar, f"It {scalar.fault}.")


def _differ_only_in(wanted: dict[int, str], before: str, after: str) -> bool:
    """Whether `after` says what `before` says, but for the values `wanted` at offsets of `before`.

    Parser events are compared, not loaded documents: they are flat (aliases cannot make them endless), know
    every tag, and see duplicate keys, which loading would hide.
    """
    import yaml

    try:
        found = [(*shape, value) for _, shape, value in _events(after)]
    except yaml.YAMLError:
        return False
    return found == [(*shape, wanted.get(start, value)) for start, shape, value in _events(before)]


def _events(text: str) -> list[tuple[int, tuple[object, ...], str | None]]:
    """Offset, meaning and value of each parser event; the offset is -1 for all but scalars."""
    import yaml

    events: list[tuple[int, tuple[object, ...], str | None]] = []
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        meaning = (type(event).__name__, *(getattr(event, name, None) for name in _MEANING))
        if isinstance(event, yaml.ScalarEvent) and event.start_mark:
            events.append((event.start_mark.index, meaning, event.value))
        else:
            events.append((-1, meaning, None))
    return events


def _refused(file: str, scalar: Scalar, why: str) -> FleetTargetInvalid:
    return FleetTargetInvalid(
        f"The value {scalar.value.strip()!r} cannot be replaced without touching more than it.",
        where=f"{file}:{scalar.line}",
        why=why,
        next_step="Write the value plainly there, on one line, in quotes or without.",
    )

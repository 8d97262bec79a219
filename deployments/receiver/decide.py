"""What a push starts: nothing, releases of the models that it changed, or an exact comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.receiver.forges.delivery import Delivery, Push
from deployments.receiver.registrations import Deployed, Registration
from tasks.errors import InvalidInput
from tasks.paths import matches
from tasks.start import skips_release

_SETTINGS_FILE = "modelflight.yaml"
_MOST_MODELS = 5  # that one push starts releases of while the forge waits for the answer


@dataclass(frozen=True)
class Nothing:
    """No run is started."""

    reason: str


@dataclass(frozen=True)
class Releases:
    """Each deployment releases its model."""

    deployments: tuple[Deployed, ...]
    reason: str


@dataclass(frozen=True)
class Comparison:
    """`sync-models` finds out what changed, and starts it."""

    reason: str


def relevant(delivery: Delivery, registration: Registration) -> Push | Nothing:
    """The delivery's push to the registered branch, where it has one that can be released.

    Raises:
        InvalidInput: the delivery is of another repository.
    """
    if delivery.kind == "ping":
        return Nothing("The webhook works.")
    if delivery.kind == "other":
        return Nothing("Only pushes start releases.")
    if not registration.is_at(delivery.repository):
        raise InvalidInput(
            "The delivery is of another repository.",
            where=f"/webhooks/{registration.name}",
            why=f"It is of {delivery.repository!r:.200}; the block {registration.name} has another address.",
            next_step=f"Correct the address in the block {registration.name}, or let the webhook send to the "
            "address of that repository's block.",
        )
    pushes = [push for push in delivery.pushes if push.branch == registration.branch]
    if not pushes:
        return Nothing(f"Only pushes to the branch {registration.branch} start releases.")
    push = pushes[-1]
    if push.commit is None:
        return Nothing("The branch was deleted.")
    if push.commit == push.before:
        return Nothing("No commit was pushed: the branch was there before. Test deliveries look like this.")
    if skips_release(push.message):
        return Nothing("The commit's message says [skip release].")
    return push


def choose(push: Push, deployments: Sequence[Deployed]) -> Nothing | Releases | Comparison:
    """What the push starts of the registration's deployments."""
    if push.files is None:
        return Comparison("The payload does not tell all changed files.")
    if _SETTINGS_FILE in push.files:
        return Comparison(f"{_SETTINGS_FILE} changed.")
    changed = [each for each in deployments if any(matches(each.paths, file) for file in push.files)]
    if len(changed) > _MOST_MODELS:
        return Comparison(f"It changes {len(changed)} models.")
    awake = tuple(each for each in changed if not each.paused)
    if awake:
        return Releases(awake, f"It changes {', '.join(each.name for each in awake)}.")
    if changed:
        return Nothing(f"The deployment of {changed[0].name} is paused.")
    if not deployments:
        return Nothing("No model of this repository is deployed; `modelflight deploy` does it.")
    return Nothing("No file of a model changed.")

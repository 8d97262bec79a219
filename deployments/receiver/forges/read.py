"""Reading a delivery: its headers tell the forge, and that the payload's form."""

from collections.abc import Callable, Mapping

from pydantic import ValidationError

from deployments.receiver.forges import bitbucket, github, gitlab
from deployments.receiver.forges.delivery import Delivery, Forge, Payload, Push
from tasks.errors import InvalidInput

_Reader = Callable[[bytes], tuple[str, tuple[Push, ...]]]
# The header with the event's name, the forge, and what each event is; Gitea sends GitHub's header too.
_FORGES: tuple[tuple[str, Forge, Mapping[str, _Reader]], ...] = (
    ("x-gitea-event", "gitea", {"push": github.read_push}),
    ("x-gitlab-event", "gitlab", {"push hook": gitlab.read_push, "tag push hook": gitlab.read_push}),
    (
        "x-event-key",
        "bitbucket",
        {"repo:push": bitbucket.read_push, "repo:refs_changed": bitbucket.read_refs_changed},
    ),
    ("x-github-event", "github", {"push": github.read_push}),
)
_PINGS = ("ping", "diagnostics:ping")

EVENTS: Mapping[str, tuple[str, ...]] = {header: (*events, *_PINGS) for header, _, events in _FORGES}
"""The headers that name an event, and what is known of each, in lower case; other events start nothing."""

PAYLOADS: tuple[type[Payload], ...] = (
    github.GitHubPush,
    gitlab.GitLabPush,
    bitbucket.BitbucketPush,
    bitbucket.BitbucketCenterPush,
)
"""What is read of a push's payload, whichever forge sends it."""


def read_delivery(headers: Mapping[str, str], body: bytes) -> Delivery:
    """What the forge delivers.

    Raises:
        InvalidInput: no header names a forge's event, or the payload is not what its event promises.
    """
    for header, forge, events in _FORGES:
        if event := headers.get(header, "").lower():
            if event in _PINGS:
                return Delivery(forge, "ping")
            if event not in events:
                return Delivery(forge, "other")
            try:
                repository, pushes = events[event](body)
            except ValidationError as error:
                raise _unreadable(forge, error) from None
            return Delivery(forge, "push", repository, pushes)
    raise InvalidInput(
        "No header names the event.",
        why="Looked for X-GitHub-Event, X-Gitea-Event, X-Gitlab-Event and X-Event-Key.",
        next_step="Let a webhook of GitHub, GitLab, Gitea, Forgejo or Bitbucket send here.",
    )


def delivery_id(headers: Mapping[str, str]) -> str:
    """The name that the forge gave the delivery, for logs: nothing signs it."""
    names = (
        "x-gitea-delivery",
        "x-github-delivery",
        "idempotency-key",
        "x-gitlab-event-uuid",
        "x-request-uuid",
        "x-request-id",
    )
    return next((headers[name] for name in names if name in headers), "")


def _unreadable(forge: str, error: ValidationError) -> InvalidInput:
    problems = error.errors(include_url=False, include_context=False, include_input=False)[:5]
    return InvalidInput(
        f"The payload is no push of {forge}.",
        why="; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
            for problem in problems
        ),
        next_step="Check that the webhook sends JSON, and that nothing on the way changes it.",
    )

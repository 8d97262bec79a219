"""GitLab's pushes.

https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events
"""

from pydantic import Field

from deployments.receiver.forges.delivery import Commit, Payload, Push, Sha, branch_of, existing, files_of


class _Project(Payload):
    path_with_namespace: str = Field(min_length=1)


class GitLabPush(Payload):
    """A push, or the push of a tag; what else GitLab sends is passed over."""

    ref: str
    before: Sha
    after: Sha
    commits: list[Commit] = Field(default_factory=list)
    total_commits_count: int  # at most twenty are listed
    project: _Project


def read_push(body: bytes) -> tuple[str, tuple[Push, ...]]:
    """The project and its push.

    Raises:
        ValidationError: the payload is none.
    """
    payload = GitLabPush.model_validate_json(body)
    messages = {commit.id: commit.message for commit in payload.commits}
    push = Push(
        branch_of(payload.ref),
        existing(payload.before),
        existing(payload.after),
        messages.get(payload.after, ""),
        files_of(payload.commits, payload.total_commits_count) if existing(payload.before) else None,
    )
    return payload.project.path_with_namespace, (push,)

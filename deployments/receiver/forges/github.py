"""GitHub's pushes, which Gitea and Forgejo send in the same form.

https://docs.github.com/webhooks/webhook-events-and-payloads#push
"""

from pydantic import Field

from deployments.receiver.forges.delivery import Commit, Payload, Push, Sha, branch_of, existing, files_of

_MOST_COMMITS = 2048  # GitHub lists no more, and does not say so


class _Repository(Payload):
    full_name: str = Field(min_length=1)


class GitHubPush(Payload):
    """A push by GitHub, Gitea or Forgejo; what else they send is passed over."""

    ref: str
    before: Sha
    after: Sha
    forced: bool = False
    commits: list[Commit] | None = None
    head_commit: Commit | None = None
    total_commits: int | None = None  # Gitea lists the newest five
    repository: _Repository


def read_push(body: bytes) -> tuple[str, tuple[Push, ...]]:
    """The repository and its push.

    Raises:
        ValidationError: the payload is none.
    """
    payload = GitHubPush.model_validate_json(body)
    commits = payload.commits or []
    # A forced push also takes away what commits changed that are no longer there, and a new branch has no
    # commit to compare with.
    comparable = not payload.forced and existing(payload.before) and len(commits) < _MOST_COMMITS
    push = Push(
        branch_of(payload.ref),
        existing(payload.before),
        existing(payload.after),
        payload.head_commit.message if payload.head_commit else "",
        files_of(commits, payload.total_commits or 0) if comparable else None,
    )
    return payload.repository.full_name, (push,)

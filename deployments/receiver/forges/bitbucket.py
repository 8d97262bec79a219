"""Bitbucket's pushes, of its cloud and its data center; neither lists files.

https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#Push
https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html
"""

from typing import Annotated

from pydantic import Field

from deployments.receiver.forges.delivery import Payload, Push, Sha, branch_of, existing

_Text = Annotated[str, Field(min_length=1)]
_ZEROS = "0" * 40


class _Target(Payload):
    hash: Sha
    message: str = ""


class _Ref(Payload):
    type: str
    name: str
    target: _Target


class _Change(Payload):
    new: _Ref | None
    old: _Ref | None

    @property
    def push(self) -> Push:
        ref = self.new or self.old
        return Push(
            ref.name if ref and ref.type == "branch" else None,
            self.old.target.hash if self.old else None,
            self.new.target.hash if self.new else None,
            self.new.target.message if self.new else "",
        )


class _Changes(Payload):
    changes: list[_Change]


class _CloudRepository(Payload):
    full_name: _Text


class BitbucketPush(Payload):
    """A push in the cloud; what else it sends is passed over."""

    push: _Changes
    repository: _CloudRepository


class _Moved(Payload):
    id: str


class _CenterChange(Payload):
    ref: _Moved
    from_hash: Sha = Field(_ZEROS, alias="fromHash")
    to_hash: Sha = Field(_ZEROS, alias="toHash")


class _ToCommit(Payload):
    id: Sha
    message: str = ""


class _CenterProject(Payload):
    key: _Text


class _CenterRepository(Payload):
    slug: _Text
    project: _CenterProject


class BitbucketCenterPush(Payload):
    """A push in a data center; what else it sends is passed over."""

    changes: list[_CenterChange]
    repository: _CenterRepository
    to_commit: _ToCommit | None = Field(None, alias="toCommit")


def read_push(body: bytes) -> tuple[str, tuple[Push, ...]]:
    """The repository and its pushes, of which the cloud can send several at once.

    Raises:
        ValidationError: the payload is none.
    """
    payload = BitbucketPush.model_validate_json(body)
    return payload.repository.full_name, tuple(change.push for change in payload.push.changes)


def read_refs_changed(body: bytes) -> tuple[str, tuple[Push, ...]]:
    """The same of a data center.

    Raises:
        ValidationError: the payload is none.
    """
    payload = BitbucketCenterPush.model_validate_json(body)
    head = payload.to_commit
    pushes = tuple(
        Push(
            branch_of(change.ref.id),
            existing(change.from_hash),
            existing(change.to_hash),
            head.message if head and head.id == change.to_hash else "",
        )
        for change in payload.changes
    )
    return f"{payload.repository.project.key}/{payload.repository.slug}", pushes

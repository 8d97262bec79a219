"""Deliveries as the forges document and send them; `Pushed.by` gives one forge's headers and body."""

import hashlib
import hmac
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

ZEROS = "0" * 40
FORGES = ("github", "gitea", "gitlab", "bitbucket", "bitbucket-center")
LISTING = ("github", "gitea", "gitlab")  # those that tell the changed files

Delivered = tuple[dict[str, str], bytes]


def sha() -> str:
    return secrets.token_hex(20)


def signed(headers: dict[str, str], body: bytes, secret: str) -> dict[str, str]:
    """The headers with what the forge sends to be known by."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if "X-Gitea-Event" in headers:
        sha1 = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
        added = {
            "X-Gitea-Signature": digest,
            "X-Gogs-Signature": digest,
            "X-Hub-Signature": f"sha1={sha1}",
            "X-Hub-Signature-256": f"sha256={digest}",
        }
    elif "X-Gitlab-Event" in headers:
        added = {"X-Gitlab-Token": secret}
    elif "X-Event-Key" in headers:
        added = {"X-Hub-Signature": f"sha256={digest}"}
    else:
        added = {"X-Hub-Signature-256": f"sha256={digest}"}
    return headers | added


@dataclass
class Pushed:
    """A push: `commits` are lists of changed files, oldest first; `after` is the last one's id."""

    repository: str = "ci/notebooks"
    ref: str = "refs/heads/main"
    commits: list[list[str]] = field(default_factory=lambda: [["wine.ipynb"]])
    message: str = "Better trees"
    before: str = field(default_factory=sha)
    after: str = field(default_factory=sha)
    forced: bool = False

    def by(self, forge: str, secret: str = "s3cr3t") -> Delivered:
        made: dict[str, Any] = getattr(self, f"_{forge.replace('-', '_')}")()
        # Gitea indents.
        body = json.dumps(made["body"], indent=2 if forge == "gitea" else None).encode()
        headers = {"Content-Type": "application/json"} | made["headers"]
        return signed(headers, body, secret), body

    def _commits(self) -> list[dict[str, Any]]:
        ids = [sha() for _ in self.commits[1:]] + [self.after]
        return [
            {
                "id": identifier,
                "message": self.message if identifier == self.after else "Earlier",
                "added": [],
                "removed": [],
                "modified": files,
                "timestamp": "2026-11-20T10:00:00Z",
                "author": {"name": "Ada", "email": "ada@example.com"},
            }
            for identifier, files in zip(ids, self.commits, strict=True)
        ]

    def _github(self) -> dict[str, Any]:
        commits = self._commits() if self.after != ZEROS else []
        name = self.repository.rpartition("/")[2]
        body = {
            "ref": self.ref,
            "before": self.before,
            "after": self.after,
            "created": self.before == ZEROS,
            "deleted": self.after == ZEROS,
            "forced": self.forced,
            "commits": commits,
            "head_commit": commits[-1] if commits else None,
            "repository": {
                "name": name,
                "full_name": self.repository,
                "clone_url": f"https://attacker.example.com/{self.repository}.git",
            },
            "pusher": {"name": "ada"},
        }
        headers = {
            "User-Agent": "GitHub-Hookshot/044aadd",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
        }
        return {"headers": headers, "body": body}

    def _gitea(self) -> dict[str, Any]:
        commits = self._commits()
        first = self.before == ZEROS
        body = {
            "ref": self.ref,
            "before": self.before,
            "after": self.after,
            # Newest first, five at the most, and none for a branch's first push.
            "commits": [] if first else commits[::-1][:5],
            "total_commits": 0 if first else len(commits),
            "head_commit": commits[-1] if commits and self.after != ZEROS else None,
            "repository": {"id": 1, "full_name": self.repository},
        }
        delivery = str(uuid.uuid4())
        headers = {
            "User-Agent": "Go-http-client/1.1",
            "X-GitHub-Delivery": delivery,
            "X-GitHub-Event": "push",
            "X-GitHub-Event-Type": "push",
            "X-Gitea-Delivery": delivery,
            "X-Gitea-Event": "push",
            "X-Gogs-Delivery": delivery,
            "X-Gogs-Event": "push",
        }
        return {"headers": headers, "body": body}

    def _gitlab(self) -> dict[str, Any]:
        commits = self._commits() if self.after != ZEROS else []
        tag = self.ref.startswith("refs/tags/")
        body = {
            "object_kind": "tag_push" if tag else "push",
            "event_name": "tag_push" if tag else "push",
            "before": self.before,
            "after": self.after,
            "ref": self.ref,
            "checkout_sha": None if self.after == ZEROS else self.after,
            "project": {"path_with_namespace": self.repository, "default_branch": "main"},
            "commits": commits[-20:],
            "total_commits_count": len(commits),
        }
        headers = {
            "X-Gitlab-Event": "Tag Push Hook" if tag else "Push Hook",
            "X-Gitlab-Event-UUID": str(uuid.uuid4()),
            "Idempotency-Key": str(uuid.uuid4()),
        }
        return {"headers": headers, "body": body}

    def _bitbucket(self) -> dict[str, Any]:
        _, kind, name = self.ref.split("/", 2)
        ends = [
            None
            if commit == ZEROS
            else {
                "type": "branch" if kind == "heads" else "tag",
                "name": name,
                "target": {"hash": commit, "message": self.message},
            }
            for commit in (self.before, self.after)
        ]
        change = {"old": ends[0], "new": ends[1], "forced": self.forced, "truncated": False, "commits": []}
        body = {"push": {"changes": [change]}, "repository": {"full_name": self.repository}}
        headers = {
            "X-Event-Key": "repo:push",
            "X-Request-UUID": str(uuid.uuid4()),
            "X-Hook-UUID": str(uuid.uuid4()),
        }
        return {"headers": headers, "body": body}

    def _bitbucket_center(self) -> dict[str, Any]:
        key, slug = self.repository.split("/")
        change = {
            "ref": {"id": self.ref, "displayId": self.ref.split("/", 2)[2], "type": "BRANCH"},
            "refId": self.ref,
            "fromHash": self.before,
            "toHash": self.after,
            "type": "UPDATE",
        }
        body = {
            "eventKey": "repo:refs_changed",
            "repository": {"slug": slug, "project": {"key": key.upper()}},
            "changes": [change],
            "toCommit": {"id": self.after, "message": self.message},
        }
        headers = {"X-Event-Key": "repo:refs_changed", "X-Request-Id": str(uuid.uuid4())}
        return {"headers": headers, "body": body}

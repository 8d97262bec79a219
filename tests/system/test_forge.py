import hashlib
import hmac
import json
import secrets
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

from tests.repositories import git
from tests.system.testbed.command import output
from tests.system.testbed.gitea import Gitea

Delivery = tuple[dict[str, str], bytes]


class Receiver:
    """A server that keeps the webhooks that reach it."""

    def __init__(self) -> None:
        self.deliveries: Queue[Delivery] = Queue()
        deliveries = self.deliveries

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                deliveries.put((dict(self.headers), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def delivery_of(self, commit: str) -> Delivery:
        """The delivery of a push; an earlier one may come too: Gitea looks for webhooks when it delivers."""
        while True:
            headers, body = self.deliveries.get(timeout=60)
            if json.loads(body)["after"] == commit:
                return headers, body


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    thread = Thread(target=found.server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def repository(gitea: Gitea) -> str:
    name = f"fleet-{secrets.token_hex(4)}"
    gitea.create_repository(name)
    return name


@pytest.fixture
def work(gitea: Gitea, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working copy with one commit, pushed to main, of a user who has the token."""
    for name, value in gitea.git_environment().items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "work"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    git(folder, "remote", "add", "origin", gitea.clone_url(repository))
    commit(folder, "one")
    git(folder, "push", "--quiet", "origin", "main")
    gitea.wait_for_first_push(repository)
    return folder


def commit(work: Path, text: str) -> str:
    (work / "file").write_text(text)
    git(work, "add", "file")
    git(work, "commit", "--quiet", "--message", text)
    return git(work, "rev-parse", "HEAD")


def refusal(folder: Path, *arguments: str) -> str:
    """What Git says when it fails."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(folder, *arguments)
    return str(refused.value.stderr)


def test_a_push_with_the_token_is_seen_by_the_next_clone(gitea: Gitea, work: Path, repository: str) -> None:
    git(work.parent, "clone", "--quiet", gitea.clone_url(repository), "clone")
    assert (work.parent / "clone" / "file").read_text() == "one"


def test_a_private_repository_is_closed_to_strangers(
    gitea: Gitea, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    assert "could not read Username" in refusal(tmp_path, "ls-remote", gitea.clone_url(repository))


def test_a_push_reaches_the_webhook_with_a_signature_of_its_body(
    gitea: Gitea, work: Path, repository: str, receiver: Receiver
) -> None:
    secret = secrets.token_hex(16)
    gitea.add_webhook(repository, receiver.url, secret)
    pushed = commit(work, "two")
    git(work, "push", "--quiet", "origin", "main")

    headers, body = receiver.delivery_of(pushed)

    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={signature}"
    assert headers["X-GitHub-Event"] == "push"
    payload = json.loads(body)
    assert (payload["ref"], payload["repository"]["name"]) == ("refs/heads/main", repository)


def test_a_pull_request_is_opened_and_merged(gitea: Gitea, work: Path, repository: str) -> None:
    pushed = commit(work, "two")
    git(work, "push", "--quiet", "origin", "main:release")

    number = gitea.open_pull_request(repository, "release", "Release wine")
    assert gitea.pull_request(repository, number)["state"] == "open"
    gitea.merge(repository, number)

    assert gitea.pull_request(repository, number)["merged"] is True
    git(work, "fetch", "--quiet", "origin")
    assert git(work, "rev-parse", "origin/main^2") == pushed


def test_a_protected_branch_refuses_a_push_and_takes_a_merge(
    gitea: Gitea, work: Path, repository: str
) -> None:
    gitea.protect(repository, "main")
    wanted = commit(work, "two")

    assert "protected branch" in refusal(work, "push", "origin", "main")

    git(work, "push", "--quiet", "origin", "main:release")
    gitea.merge(repository, gitea.open_pull_request(repository, "release", "Release wine"))
    git(work, "fetch", "--quiet", "origin")
    assert git(work, "rev-parse", "origin/main^2") == wanted


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key; its public key lies beside it."""
    path = tmp_path / "key"
    output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
    return path


@pytest.fixture
def by_ssh(gitea: Gitea, work: Path, repository: str, key: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working copy that reaches the repository with nothing but the key."""
    for name in gitea.git_environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_SSH_COMMAND", gitea.ssh_environment(key)["GIT_SSH_COMMAND"])
    git(work, "remote", "set-url", "origin", gitea.ssh_url(repository))
    return work


def test_an_unknown_key_is_refused(by_ssh: Path) -> None:
    assert "Permission denied" in refusal(by_ssh, "ls-remote", "origin")


def test_a_read_only_deploy_key_fetches_and_does_not_push(
    gitea: Gitea, by_ssh: Path, repository: str, key: Path
) -> None:
    gitea.add_deploy_key(repository, key.with_suffix(".pub").read_text(), read_only=True)
    git(by_ssh, "fetch", "--quiet", "origin")
    commit(by_ssh, "two")

    assert "not authorized to write" in refusal(by_ssh, "push", "origin", "main")


def test_a_deploy_key_that_may_write_pushes(gitea: Gitea, by_ssh: Path, repository: str, key: Path) -> None:
    gitea.add_deploy_key(repository, key.with_suffix(".pub").read_text(), read_only=False)
    pushed = commit(by_ssh, "two")
    git(by_ssh, "push", "--quiet", "origin", "main")
    assert git(by_ssh, "ls-remote", "origin", "main").split()[0] == pushed

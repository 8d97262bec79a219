"""A Git server with pull requests, webhooks, deploy keys and protected branches: Gitea on SQLite."""

import configparser
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Self

import httpx

from tests.system.testbed.command import output
from tests.system.testbed.component import Component, answers
from tests.system.testbed.nobody import AS_NOBODY
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import GITEA
from tests.system.testbed.secret import write_secret

USER = "ada"


class Refused(Exception):
    """Gitea answered with an error; the message carries what was asked and what it said."""


class Gitea(Component):
    """Gitea with one administrator, who owns all repositories; reached by HTTP and by SSH.

    `token` and `password` are the administrator's, and there once it was waited for.
    """

    name = "gitea"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.ssh_port = free_port()
        self.token = ""
        self.password = ""
        self._security = {name: secrets.token_hex(32) for name in ("SECRET_KEY", "INTERNAL_TOKEN")}

    @property
    def address(self) -> str:
        """Where its pages and its API are."""
        return f"http://127.0.0.1:{self.port}"

    def clone_url(self, repository: str) -> str:
        """A repository's address by HTTP; Git finds the token by `git_environment`."""
        return f"{self.address}/{USER}/{repository}.git"

    def ssh_url(self, repository: str) -> str:
        """A repository's address by SSH; Git finds the key by `ssh_environment`."""
        return f"ssh://git@127.0.0.1:{self.ssh_port}/{USER}/{repository}.git"

    def git_environment(self) -> Mapping[str, str]:
        """What gives Git the token for this server, out of a file that only this user may read."""
        credentials = self.folder / "credentials"
        write_secret(credentials, f"http://{USER}:{self.token}@127.0.0.1:{self.port}\n")
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "credential.helper",
            "GIT_CONFIG_VALUE_0": f"store --file={credentials}",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def ssh_environment(self, private_key: Path) -> Mapping[str, str]:
        """What makes Git use this key, and trust no other server."""
        kind, key, *_ = (self.folder / "host_key.pub").read_text().split()
        known_hosts = self.folder / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{self.ssh_port} {kind} {key}\n")
        # The user's own configuration is found by the user's id, not by HOME.
        options = f"-F none -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={known_hosts}"
        return {"GIT_SSH_COMMAND": f"ssh -i {private_key} {options}"}

    def create_repository(self, name: str) -> None:
        """Makes an empty repository that only the administrator sees; its default branch is main."""
        self._call("POST", "/user/repos", name=name, private=True, default_branch="main")

    def wait_for_first_push(self, repository: str) -> None:
        """Waits until the API knows that a repository is not empty any more, a moment after Git does.

        Raises:
            ComponentFailed: it did not happen in time.
        """
        self.wait_for(
            lambda: not self._call("GET", f"/repos/{USER}/{repository}")["empty"],
            f"aware of {repository}'s push",
        )

    def add_webhook(self, repository: str, url: str, secret: str, *events: str) -> int:
        """Has `events` sent to `url`, signed with `secret`; pushes when none are named. The webhook's id."""
        config = {"url": url, "content_type": "json", "secret": secret}
        hook = {"type": "gitea", "active": True, "config": config, "events": events or ["push"]}
        identifier: int = self._call("POST", f"/repos/{USER}/{repository}/hooks", **hook)["id"]
        return identifier

    def send_test_delivery(self, repository: str, webhook: int) -> None:
        """Sends a delivery that looks like a push, as the button *Test delivery* does."""
        self._call("POST", f"/repos/{USER}/{repository}/hooks/{webhook}/tests")

    def add_deploy_key(self, repository: str, public_key: str, *, read_only: bool) -> None:
        """Lets the owner of a key (in OpenSSH's format) read one repository, or write to it as well."""
        key = {"title": secrets.token_hex(4), "key": public_key, "read_only": read_only}
        self._call("POST", f"/repos/{USER}/{repository}/keys", **key)

    def protect(self, repository: str, branch: str) -> None:
        """Lets a branch change by pull requests only."""
        self._call(
            "POST", f"/repos/{USER}/{repository}/branch_protections", rule_name=branch, enable_push=False
        )

    def open_pull_request(self, repository: str, branch: str, title: str) -> int:
        """Asks to merge a branch into main; returns the pull request's number."""
        wanted = {"head": branch, "base": "main", "title": title}
        number: int = self._call("POST", f"/repos/{USER}/{repository}/pulls", **wanted)["number"]
        return number

    def pull_request(self, repository: str, number: int) -> Mapping[str, Any]:
        """A pull request as Gitea's API tells it."""
        found: Mapping[str, Any] = self._call("GET", f"/repos/{USER}/{repository}/pulls/{number}")
        return found

    def merge(self, repository: str, number: int) -> None:
        """Merges a pull request by a merge commit."""
        self._call("POST", f"/repos/{USER}/{repository}/pulls/{number}/merge", Do="merge")

    def _call(self, method: str, path: str, **body: object) -> Any:
        response = httpx.request(
            method,
            f"{self.address}/api/v1{path}",
            headers={"Authorization": f"token {self.token}"},
            json=body,
            timeout=60,
        )
        if response.is_error:
            raise Refused(f"{method} {path}: {response.status_code}: {response.text}")
        return json.loads(response.text or "null")

    def prepare(self) -> None:
        if not (self.folder / "host_key").exists():
            # Made here because Gitea would make an RSA key, which takes seconds.
            output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "host_key")
        config = configparser.ConfigParser(interpolation=None)
        config.optionxform = str  # type: ignore[assignment,method-assign]
        config.read_dict(self._settings())
        text = StringIO()
        config.write(text)
        write_secret(self.folder / "app.ini", text.getvalue())

    def _settings(self) -> Mapping[str, Mapping[str, object]]:
        return {
            "server": {
                "HTTP_ADDR": "127.0.0.1",
                "HTTP_PORT": self.port,
                "ROOT_URL": self.address,
                "STATIC_ROOT_PATH": GITEA.share("gitea"),
                "OFFLINE_MODE": True,
                "START_SSH_SERVER": True,
                "BUILTIN_SSH_SERVER_USER": "git",
                "SSH_DOMAIN": "127.0.0.1",
                "SSH_LISTEN_HOST": "127.0.0.1",
                "SSH_PORT": self.ssh_port,
                "SSH_SERVER_HOST_KEYS": self.folder / "host_key",
            },
            "database": {
                "DB_TYPE": "sqlite3",
                "PATH": self.folder / "gitea.db",
                "SQLITE_JOURNAL_MODE": "WAL",
            },
            "security": {"INSTALL_LOCK": True, **self._security},
            "webhook": {"ALLOWED_HOST_LIST": "loopback"},
            "indexer": {"ISSUE_INDEXER_TYPE": "db"},  # starts at once
            "queue": {"TYPE": "channel"},  # in memory; one on disk is looked at every two seconds only
            "cron": {"ENABLED": False},
            "oauth2": {"ENABLED": False},
            "log": {"LEVEL": "Warn"},
        }

    def environment(self) -> Mapping[str, str]:
        return {"GITEA_WORK_DIR": str(self.folder)}

    def command(self) -> Sequence[str | Path]:
        return [*self._gitea(), "web"]

    def _gitea(self) -> Sequence[str | Path]:
        return [*AS_NOBODY, GITEA.command("gitea"), "--config", self.folder / "app.ini"]

    def is_ready(self) -> bool:
        return answers(f"{self.address}/api/healthz")

    def wait(self) -> Self:
        """Waits until the server is ready and has its administrator.

        Raises:
            ComponentFailed: it ended, or was not ready in time.
            CommandFailed: it refused to make the administrator.
        """
        super().wait()
        if not self.token:
            said = output(
                *self._gitea(), "admin", "user", "create", "--admin", "--username", USER,
                "--email", f"{USER}@example.com", "--random-password", "--access-token",
                environment=self.environment(),
            )  # fmt: skip
            [self.password] = re.findall(r"random password is '(.*)'", said)
            [self.token] = re.findall(r"Access token was successfully created\.\.\. (\w+)", said)
        return self

"""OCI registries: CNCF Distribution 3 and Debian's docker-registry 2.8, with TLS and users where wanted.

Neither has the referrers API of distribution-spec 1.1; clients fall back to tags.
"""

import json
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import bcrypt

from tests.system.testbed import debian
from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import DISTRIBUTION
from tests.system.testbed.secret import write_secret
from tests.system.testbed.tls import Certificate


class Distribution(Component):
    """CNCF Distribution 3, keeping its content below its folder; whatever was pushed may be deleted.

    Args:
        folder: where it lives.
        tls: what it serves HTTPS with; plain HTTP without.
        users: passwords by user name; without any, everybody may read and write.
    """

    name = "distribution"

    def __init__(
        self, folder: Path, *, tls: Certificate | None = None, users: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.tls = tls
        self.users = users or {}
        self._secret = secrets.token_hex(16)

    @property
    def address(self) -> str:
        """What names of images begin with; several clients use plain HTTP for this name by themselves."""
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        """The address that HTTP clients want."""
        return f"{'https' if self.tls else 'http'}://{self.address}"

    def client_environment(self, user: str = "") -> Mapping[str, str]:
        """What makes crane, cosign, oras and skopeo trust this registry, and log in as one of its users."""
        login = f"{user}:{self.users[user]}" if user else ""
        return registry_client(self.folder / f"home-{user}", self.address, login, self.tls)

    def prepare(self) -> None:
        write_secret(self.folder / "passwords", "".join(_htpasswd(*user) for user in self.users.items()))
        write_secret(self.folder / "config.json", json.dumps(self._config()))

    def _config(self) -> dict[str, object]:
        http: dict[str, object] = {
            "addr": f"127.0.0.1:{self.port}",
            "secret": self._secret,  # the same after a restart, so that uploads can go on
        }
        if self.tls:
            http["tls"] = {"certificate": str(self.tls.chain), "key": str(self.tls.key)}
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn"},  # one line for each request is written besides
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "content")},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
        }
        if self.users:
            passwords = str(self.folder / "passwords")
            config["auth"] = {"htpasswd": {"realm": "testbed", "path": passwords}}
        return config

    def environment(self) -> Mapping[str, str]:
        return {"OTEL_TRACES_EXPORTER": "none"}  # else it sends traces to port 4318

    def command(self) -> Sequence[str | Path]:
        return [DISTRIBUTION.command("registry"), "serve", self.folder / "config.json"]

    def is_ready(self) -> bool:
        trusted = self.tls.trusted if self.tls else False
        return answers(f"{self.url}/v2/", status=401 if self.users else 200, verify=trusted)


class DockerRegistry(Distribution):
    """Debian's docker-registry 2.8, as older installations run it."""

    name = "docker-registry"

    def command(self) -> Sequence[str | Path]:
        return [
            debian.service("docker-registry") / "usr/bin/docker-registry",
            "serve",
            self.folder / "config.json",
        ]


def registry_client(
    home: Path, address: str, login: str = "", tls: Certificate | None = None
) -> Mapping[str, str]:
    """Configures clients of the registry at `address` in `home`; `login` is `user:password`."""
    auths = {address: {"auth": b64encode(login.encode()).decode()}} if login else {}
    write_secret(home / ".docker/config.json", json.dumps({"auths": auths}))
    registries = home / ".config/containers/registries.conf"  # of skopeo alone; the others know localhost
    insecure = json.dumps(tls is None)
    write_secret(registries, f'[[registry]]\nlocation = "{address}"\ninsecure = {insecure}\n')
    authority = {"SSL_CERT_FILE": str(tls.authority)} if tls else {}
    return {"HOME": str(home), "DOCKER_CONFIG": str(home / ".docker"), **authority}


def _htpasswd(user: str, password: str) -> str:
    # The lowest cost: the registry checks the password anew in each request.
    return f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"

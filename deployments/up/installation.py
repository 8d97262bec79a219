"""What one `modelflight up` runs: where its data is, where it listens, which Prefect API it uses."""

import fcntl
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import InvalidInput
from tasks.pages import pages

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True)
class Listener:
    """An address that a part listens on."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """How it is reached from this machine."""
        return self._url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host))  # noqa: S104

    @property
    def shown(self) -> str:
        """How it is told to people; every address of a machine has the machine's name."""
        return self._url(socket.gethostname() if self.host in _WILDCARDS else self.host)

    def _url(self, host: str) -> str:
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def beyond_this_machine(self) -> bool:
        """Whether other machines can reach it."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    def check_free(self, option: str) -> None:
        """Makes sure that the address can be listened on.

        Raises:
            InvalidInput: another program listens there, or it is no address of this machine.
        """
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise InvalidInput(
                "Nothing was started: an address cannot be listened on.",
                where=f"{self.host}, port {self.port}",
                why=error.strerror or str(error),
                next_step=f"Stop the program that listens there, or choose another address with {option}.",
            ) from None


@dataclass(frozen=True)
class Installation:
    """The parts' common settings.

    `server` is where Prefect's server is to listen; None where the API at `api` is another one's. `login` is
    what Prefect asks for, `user:password`, or None; `login_file` is where a person finds it.
    """

    home: Path
    api: str
    server: Listener | None
    receiver: Listener
    pool: str
    login: str | None = None
    login_file: Path | None = None

    @property
    def prefect_home(self) -> Path:
        """Prefect's folder: database, results, leases."""
        return Path(os.environ.get("PREFECT_HOME") or self.home / "prefect").expanduser().absolute()

    @property
    def logs(self) -> Path:
        """What the parts wrote, a file for each."""
        return self.home / "logs"

    @property
    def warm_socket(self) -> Path:
        """Where flow runs are forked."""
        return self.home / "run" / "warm.socket"

    @property
    def worker(self) -> str:
        """The worker's name in Prefect; no other machine's and no other home's worker has it."""
        return f"{socket.gethostname()}{self.home}".replace("/", ":").replace("%", ":")

    @property
    def pages(self) -> str:
        """Prefect's pages, as told to people."""
        return pages(f"{self.server.shown}/api" if self.server else self.api)


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Keeps the folder to this process.

    Raises:
        InvalidInput: another `modelflight up` runs over it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InvalidInput(
                "Another `modelflight up` runs over the same data.",
                where=str(home),
                why=f"It is process {file.read().strip()}.",
                next_step="Stop that one, or choose another folder with --home.",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def login_for(
    home: Path, listener: Listener, environment: Mapping[str, str]
) -> tuple[str | None, Path | None]:
    """What Prefect's server asks for, and the file where it can be read.

    A server that only this machine reaches asks for nothing, unless PREFECT_SERVER_API_AUTH_STRING is set.
    The login is made once and stays.
    """
    if given := environment.get("PREFECT_SERVER_API_AUTH_STRING"):
        return given, None
    if not listener.beyond_this_machine:
        return None, None
    path = home / "prefect-login"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip(), path
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, no path
        login = f"admin:{secrets.token_urlsafe(24)}"
        file.write(f"{login}\n")
    return login, path

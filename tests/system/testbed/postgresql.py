"""PostgreSQL, from Debian's package without installing it."""

import asyncio
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from tests.system.testbed import debian
from tests.system.testbed.command import output
from tests.system.testbed.component import Component
from tests.system.testbed.nobody import AS_NOBODY
from tests.system.testbed.ports import free_port
from tests.system.testbed.secret import write_secret

USER = "testbed"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "dynamic_shared_memory_type": "mmap",  # in its folder; what is in /dev/shm would outlive a SIGKILL
    "jit": "off",  # its compiler, LLVM, is not unpacked
    # The machine's crash loses a testbed in any case.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class PostgreSQL(Component):
    """A server with one superuser, whose password is made up anew."""

    name = "postgresql"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._password = secrets.token_hex(16)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def url(self, database: str) -> str:
        """A database's address for SQLAlchemy; it holds the password."""
        return f"postgresql+asyncpg://{USER}:{self._password}@{self.address}/{database}"

    def create(self, database: str) -> None:
        """Makes an empty database."""
        asyncio.run(self._execute(f'CREATE DATABASE "{database}"'))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self._password,
            database="postgres",
            timeout=5,
        )
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def prepare(self) -> None:
        """Makes the data folder at the first start.

        Raises:
            CommandFailed: initdb refuses.
        """
        if (self.folder / "data").exists():
            return
        password_file = self.folder / "password"
        write_secret(password_file, self._password)
        output(
            *AS_NOBODY, _program("initdb"), f"--pgdata={self.folder / 'data'}", f"--username={USER}",
            f"--pwfile={password_file}", "--auth=scram-sha-256", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip

    def command(self) -> Sequence[str | Path]:
        settings = {**SETTINGS, "port": self.port, "unix_socket_directories": self.folder}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [*AS_NOBODY, _program("postgres"), "-D", self.folder / "data", *options]

    def is_ready(self) -> bool:
        try:
            asyncio.run(self._execute("SELECT 1"))
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        return True

    def stop(self, within: float = 10) -> None:
        """Ends the server; connections are cut, which it would wait for after a SIGTERM."""
        self._end(signal.SIGINT, within)


def _program(name: str) -> Path:
    # The package's version is in the path.
    [found] = debian.service("postgresql").glob(f"usr/lib/postgresql/*/bin/{name}")
    return found

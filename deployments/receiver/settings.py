"""What the environment says about the receiver."""

import os
import ssl
from dataclasses import dataclass, field
from typing import Self

from deployments.authorization import authorization
from tasks.address import redact
from tasks.errors import InvalidInput
from tasks.pages import pages


@dataclass(frozen=True)
class Settings:
    """Where the receiver listens, and the Prefect API that it starts runs with.

    `root_path` is the path of a proxy in front, `/modelflight`; requests are understood with it and without.
    `authorization` is what the API's header of that name says; empty without a credential.
    """

    api: str = field(repr=False)  # can have a login in it
    pages: str
    host: str = "127.0.0.1"
    port: int = 4280
    root_path: str = ""
    authorization: str = field(default="", repr=False)
    certificates: str | None = None

    @classmethod
    def from_environment(cls) -> Self:
        """The settings that `PREFECT_*` and `MODELFLIGHT_RECEIVER_*` name.

        Raises:
            InvalidInput: there is no address of a Prefect API, the port is none, or the key cannot be one.
        """
        api = os.environ.get("PREFECT_API_URL", "").strip().rstrip("/")
        if not api.startswith(("http://", "https://")):
            raise InvalidInput(
                "The receiver has no Prefect API to start releases with.",
                where=f"PREFECT_API_URL={redact(api)}",
                next_step="Set it to the API's address: http://127.0.0.1:4200/api.",
            )
        root_path = os.environ.get("MODELFLIGHT_RECEIVER_ROOT_PATH", "").strip("/")
        return cls(
            api,
            pages(api),
            os.environ.get("MODELFLIGHT_RECEIVER_HOST") or cls.host,
            _port(os.environ.get("MODELFLIGHT_RECEIVER_PORT") or str(cls.port)),
            f"/{root_path}" if root_path else "",
            authorization(),
            os.environ.get("PREFECT_API_SSL_CERT_FILE") or None,
        )

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """How certificates of the API are checked, as httpx takes it."""
        if not self.api.startswith("https://"):
            return False  # nothing to check; reading the certificates of all authorities takes 5 MB
        return ssl.create_default_context(cafile=self.certificates) if self.certificates else True


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise InvalidInput(
            "The receiver cannot listen there.",
            where=f"MODELFLIGHT_RECEIVER_PORT={text}",
            next_step="Set it to a number between 1 and 65535.",
        )
    return int(text)

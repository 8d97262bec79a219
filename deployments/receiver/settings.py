"""What the environment says about the receiver."""

import base64
import os
import ssl
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from tasks.address import redact
from tasks.errors import InvalidInput


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
            _for_people(os.environ.get("PREFECT_UI_URL") or api.removesuffix("/api")),
            os.environ.get("MODELFLIGHT_RECEIVER_HOST") or cls.host,
            _port(os.environ.get("MODELFLIGHT_RECEIVER_PORT") or str(cls.port)),
            f"/{root_path}" if root_path else "",
            _authorization(),
            os.environ.get("PREFECT_API_SSL_CERT_FILE") or None,
        )

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """How certificates of the API are checked, as httpx takes it."""
        if not self.api.startswith("https://"):
            return False  # nothing to check; reading the certificates of all authorities takes 5 MB
        return ssl.create_default_context(cafile=self.certificates) if self.certificates else True


def _for_people(address: str) -> str:
    """The address without a login, which an API behind a proxy can have; forges keep our answers."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise InvalidInput(
            "The receiver cannot listen there.",
            where=f"MODELFLIGHT_RECEIVER_PORT={text}",
            next_step="Set it to a number between 1 and 65535.",
        )
    return int(text)


def _authorization() -> str:
    if key := os.environ.get("PREFECT_API_KEY", "").strip():  # files that keys are read from end with a line
        # What a header cannot hold, messages would repeat.
        if not (key.isascii() and key.isprintable()):
            raise InvalidInput(
                "The Prefect API's key cannot be sent.",
                where="PREFECT_API_KEY",
                why="It holds characters that no key has.",
                next_step="Set it to the key alone.",
            )
        return f"Bearer {key}"
    if auth := os.environ.get("PREFECT_API_AUTH_STRING"):
        return f"Basic {base64.b64encode(auth.encode()).decode()}"
    return ""

"""Names of image repositories: registry host and repository (distribution-spec 1.1, "Pulling manifests")."""

import ipaddress
import re
from dataclasses import dataclass

from tasks.address import redact
from tasks.errors import AddressInvalid

_HOST = r"(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)(:[0-9]{1,5})?"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"(?P<host>{_HOST})/(?P<name>{_PART}(/{_PART})*)")


@dataclass(frozen=True)
class Repository:
    """The repository `name` of the registry at `host`, which may have a port."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"


def parse_repository(address: str) -> Repository:
    """The repository that `registry/repository` names.

    Raises:
        AddressInvalid: it names none, or leaves the registry out.
    """
    found = _REPOSITORY.fullmatch(address)
    # As in all tools for images: without one of these, `models/wine` would be a repository of Docker Hub.
    if not found or not (re.search("[.:]", found["host"]) or found["host"] == "localhost"):
        raise AddressInvalid(
            "The image repository cannot be used.",
            where=redact(re.sub("^[^/]*@", "***@", address)),  # user:password@host, as some would write it
            why="It is no registry host with a repository in lower case behind it.",
            next_step="Write it like registry.example.com/models/wine, or oci:FOLDER for a folder.",
        )
    if found["host"] in ("docker.io", "index.docker.io"):
        raise AddressInvalid(
            "The image repository cannot be used.",
            where=address,
            why="Docker Hub's name is not where it answers, and this version knows no other place for it.",
            next_step="Write it like registry-1.docker.io/user/name, or take another registry.",
        )
    return Repository(found["host"], found["name"])


def is_loopback(host: str) -> bool:
    """Whether `host`, without a port, is this machine by its name or number alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

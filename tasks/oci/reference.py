"""Names of image repositories: registry host and repository (distribution-spec 1.1, "Pulling manifests")."""

import ipaddress
import re
from dataclasses import dataclass

import httpx

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
    named = found and (re.search("[.:]", found["host"]) or found["host"] == "localhost")
    if not found or not named or not _is_address(found["host"]):
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


def _is_address(host: str) -> bool:
    """Whether a client can make an address of a host with its port."""
    port = re.search(r":([0-9]+)$", host)
    try:
        name = httpx.URL(f"https://{host}").host
    except httpx.InvalidURL:
        return False
    return ".." not in name and int(port[1] if port else 0) < 1 << 16


def is_loopback(host: str) -> bool:
    """Whether `host`, without a port, is this machine by its name or number alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

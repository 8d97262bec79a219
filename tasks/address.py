"""Addresses of Git repositories: no credentials in them, none ever printed, relative ones resolved."""

import posixpath
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from tasks.errors import AddressInvalid

_USER_INFORMATION = re.compile(r"(?<=://)[^/\s]+@")  # up to the last @: a password may hold one
_SCHEMELESS_CREDENTIAL = re.compile(r"[^/@:\s]+:[^/\s]*@")
_SECRET_FIELDS = re.compile(r"(?i)\b((?:access_|private_)?token|password|secret|api_?key)=[^&\s]+")


def redact(text: str) -> str:
    """`text` with user information and secret query fields of every address in it replaced by `***`."""
    return _SECRET_FIELDS.sub(r"\1=***", _USER_INFORMATION.sub("***@", text))


def check_address(address: str, where: str) -> str:
    """Returns `address` when it can be used and carries no credential.

    User names are accepted for ssh only: over http a lone user name is usually a token.

    Raises:
        AddressInvalid: the message names `where`, and the address only redacted.
    """
    if address != address.strip() or not address or address.startswith("-") or not address.isprintable():
        raise AddressInvalid(
            "The repository address cannot be used.",
            where=where,
            why="It is empty, starts with '-', has white space around it, or holds control characters.",
            next_step="Give a path, or an https://, ssh:// or file:// address.",
        )
    parts = _url_parts(address, where)
    if parts and parts.scheme not in ("https", "http", "ssh", "git", "file"):
        raise AddressInvalid(
            "The repository address cannot be used.",
            where=where,
            why=f"Git has no transport for {parts.scheme}:// here.",
            next_step="Use a path, or an https://, ssh://, git:// or file:// address.",
        )
    # `ext::sh -c ...` and other remote helpers run programs that the address names.
    if parts is None and "::" in address:
        raise AddressInvalid(
            "The repository address cannot be used.",
            where=where,
            why="It names a Git remote helper, which can run any program.",
            next_step="Use a path, or an https://, ssh:// or file:// address.",
        )
    # `user:token@host/path`, an address that lost its scheme; to Git it is a path on the host `user`.
    if parts is None and _SCHEMELESS_CREDENTIAL.match(address):
        raise AddressInvalid(
            "The repository address carries a credential.",
            where=where,
            why="Addresses end up in commits, images, logs and Prefect's database.",
            next_step="Write https://host/path, and let a Git credential helper supply the credential.",
        )
    if parts and (parts.password or (parts.username and parts.scheme != "ssh") or redact(address) != address):
        if parts.scheme == "ssh" and not parts.password and not _SECRET_FIELDS.search(address):
            return address
        raise AddressInvalid(
            "The repository address carries a credential.",
            where=f"{where}: {redact(address)}",
            why="Addresses end up in commits, images, logs and Prefect's database.",
            next_step="Remove it from the address and let a Git credential helper supply it "
            "(`git config credential.helper`), or use an ssh address with a key.",
        )
    return address


def _url_parts(address: str, where: str) -> SplitResult | None:
    """The parts of a URL; None for a path and for `host:path`."""
    if "://" not in address:
        return None
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - checked by reading it: that of `https://user:pa/ss@host` is "pa"
    except ValueError:  # its message repeats the address, which can carry a credential
        raise AddressInvalid(
            "The repository address cannot be used.",
            where=where,
            why="It is no valid URL.",
            next_step="Check host and port; a credential does not belong in it.",
        ) from None
    return parts


def resolve_address(address: str, base: str) -> str:
    """`address` made absolute: `./` and `../` are relative to `base`, as Git does for submodules.

    `base` is the notebook repository's address, a URL or a path; every other address is returned as it is.
    """
    if not address.startswith(("./", "../")):
        return address
    if "://" not in base:
        return str((Path(base) / address).resolve())
    scheme, rest = base.split("://", 1)
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}{posixpath.normpath(posixpath.join('/', path, address))}"

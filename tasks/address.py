"""Addresses of Git repositories: no credentials in them, none ever printed, relative ones resolved."""

import posixpath
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from tasks.errors import AddressInvalid

_USER_INFORMATION = re.compile(r"(?<=://)[^/\s]+@")  # up to the last @: a password may hold one
_SCHEMELESS_CREDENTIAL = re.compile(r"[^/@:\s]+:[^/\s]*@")
_QUERY = re.compile(r"(://[^\s?]*\?)(\S+)")
_SECRET_FIELDS = re.compile(
    r"(?i)(?<![\w-])([\w-]*(?:token|password|passwd|secret|api[_-]?key|signature|credential)|sig)=[^&\s]+"
)
_AUTHORIZATION = re.compile(r"(?i)(authorization[\"']?[ \t]*[:=][ \t]*)\S[^\r\n]*")
_SCP_LIKE = re.compile(r"((?:[^/:@]+@)?(?:\[[^]/]*\]|[^/:]+)):(.*)")  # host:path, as ssh and Git have it


def redact(text: str) -> str:
    """`text` with what may be secret in addresses and headers replaced by `***`.

    That is user information, query strings, fields that are called after secrets or signatures, and what
    follows `Authorization:` up to the end of the line.
    """
    text = _QUERY.sub(_without_query, _USER_INFORMATION.sub("***@", text))
    return _AUTHORIZATION.sub(r"\1***", _SECRET_FIELDS.sub(r"\1=***", text))


def _without_query(found: re.Match[str]) -> str:
    # Messages quote addresses and end sentences with them.
    query = found[2].rstrip("'\")]>,.;:")
    return f"{found[1]}{'***' if query else ''}{found[2][len(query) :]}"


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
    if parts and parts.scheme != "file" and ("?" in address or "#" in address):
        raise AddressInvalid(
            "The repository address cannot be used.",
            where=f"{where}: {re.split('[?#]', redact(address))[0]}",
            why="It has a query or a fragment, where credentials and signatures hide.",
            next_step="Give the repository's address alone; a Git credential helper supplies what it needs.",
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
    named = parts and (parts.password or (parts.username and parts.scheme != "ssh"))
    if named or _SECRET_FIELDS.search(address):
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

    `base` is the notebook repository's address, a URL, `host:path` or a path; every other address is returned
    as it is.

    Raises:
        AddressInvalid: it leads out of the folder that `host:path` starts in.
    """
    if not address.startswith(("./", "../")):
        return address
    if "://" not in base:
        if scp_like := _SCP_LIKE.fullmatch(base):
            host, path = scp_like.groups()
            return f"{host}:{_below(path, address, base)}"
        return str((Path(base) / address).resolve())
    scheme, rest = base.split("://", 1)
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}{posixpath.normpath(posixpath.join('/', path, address))}"


def _below(path: str, address: str, base: str) -> str:
    resolved = posixpath.normpath(posixpath.join(path, address))
    if resolved == ".." or resolved.startswith("../"):
        raise AddressInvalid(
            "The relative repository address cannot be resolved.",
            where=f"{address}, relative to {redact(base)}",
            why="It leads above the folder that ssh starts in.",
            next_step="Write the whole address.",
        )
    return resolved

"""Logins of registries: from the keyring, else from the Docker configuration file.

https://github.com/docker/cli/blob/master/man/docker-config-json.5.md
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import NotSupported, RegistryRefused
from tasks.fault import readable, reported
from tasks.keyring import Login, held

_UNREADABLE = "The Docker configuration file cannot be read."
_LOG_IN = "Log in again: docker login {host}. Or name another folder for the file in DOCKER_CONFIG."


def find_login(host: str) -> Login | None:
    """The login for the registry at `host`; None where there is none, so that it is asked anonymously.

    Raises:
        RegistryRefused: the file, or its entry for `host`, is damaged.
        NotSupported: the credentials are somewhere that Modelflight cannot look into.
    """
    if login := held().registries.get(host):
        return login
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    config = _read(path)
    if helper := _section(config, "credHelpers").get(host):
        raise _kept_elsewhere(f"{path}: credHelpers", host, f"with the credential helper {helper!r}")
    entry = next(
        (
            entry
            for key, entry in _section(config, "auths").items()
            if _host(key) == host and entry is not None
        ),
        None,
    )
    match entry:
        case None:
            return None
        case {"identitytoken": str(token)} if token:
            raise _kept_elsewhere(f"{path}: auths", host, "in an identity token")
        case {"auth": str(encoded)} if encoded:
            return _decoded(encoded, f"{path}: auths", host)
        case {"username": str(user), "password": str(password)}:
            return Login(user, password)
    if store := config.get("credsStore"):
        raise _kept_elsewhere(f"{path}: credsStore", host, f"in the credential store {store!r}")
    return None


def _read(path: Path) -> Mapping[str, Any]:
    with reported(RegistryRefused, _UNREADABLE, path, "Make it readable for this user."):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return {}
    try:
        config = json.loads(content)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise RegistryRefused(_UNREADABLE, readable(path), "it is no JSON object", "Correct or remove it.")
    return config


def _section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = config.get(key)
    return found if isinstance(found, dict) else {}


def _host(key: str) -> str:
    """The host of a key, which older versions of Docker wrote as an address."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _decoded(encoded: str, where: str, host: str) -> Login:
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        why = "it is not user:password in base64"
        next_step = _LOG_IN.format(host=host)
        raise RegistryRefused(
            "The credentials for a registry cannot be used.", f"{where}, {host}", why, next_step
        )
    return Login(user, password.rstrip("\0"))


def _kept_elsewhere(where: str, host: str, why: str) -> NotSupported:
    return NotSupported(
        f"The credentials for {host} cannot be used.",
        where,
        f"They are kept {why}, which this version cannot ask.",
        "Log in with a configuration file of its own: DOCKER_CONFIG=FOLDER docker login, and set the same "
        "DOCKER_CONFIG for Modelflight.",
    )

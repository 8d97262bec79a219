"""Names of environment variables that somebody really reads."""

import functools
import inspect
import re

import uvicorn.config

from tests.repositories import TOP

_OWN = re.compile(r"\bMODELFLIGHT_[A-Z_]+[A-Z]\b")
_EVERYWHERE = {"HOME", "PATH", "TMPDIR", "DO_NOT_TRACK"}
# Read by prefect-redis, which is in Prefect's image of the server and not installed here.
_OF_REDIS = re.compile(r"PREFECT_REDIS_MESSAGING_(HOST|PORT|DB|USERNAME|PASSWORD|SSL)")


def is_read(name: str) -> bool:
    """Whether Prefect, Modelflight, uvicorn or every program reads a variable of this name."""
    if name.startswith("PREFECT_"):
        return name in _of_prefect() or bool(_OF_REDIS.fullmatch(name))
    if name.startswith("MODELFLIGHT_"):
        return name in _of_modelflight()
    return name in _EVERYWHERE or f'"{name}"' in inspect.getsource(uvicorn.config)


@functools.cache
def _of_prefect() -> frozenset[str]:
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_valid_setting_names
    from prefect_kubernetes.settings import KubernetesSettings

    return frozenset(_get_valid_setting_names(Settings) | _get_valid_setting_names(KubernetesSettings))


@functools.cache
def _of_modelflight() -> frozenset[str]:
    from deployments.start.__main__ import main

    sources = [path for room in ("deployments", "flows", "tasks") for path in (TOP / room).rglob("*.py")]
    written = {name for path in sources for name in _OWN.findall(path.read_text())}
    options = {f"{main.context_settings['auto_envvar_prefix']}_{each.name}".upper() for each in main.params}
    return frozenset(written | options)

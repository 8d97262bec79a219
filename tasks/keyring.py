"""Credentials for this release, besides those that Git, AWS and Docker's configuration supply.

They stay within this process: notebooks inherit its environment, and Prefect stores parameters and results.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3


@dataclass(frozen=True)
class Login:
    """A user name and a password or token, which is not shown."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class AwsAccess:
    """How an S3 client is made: its session, and options such as `endpoint_url`."""

    session: Callable[[], "boto3.Session"] = field(repr=False)
    client_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Keyring:
    """Logins by the address of a Git repository and by the host of a registry; AWS by a bucket's name."""

    git: Mapping[str, Login] = field(default_factory=dict)
    registries: Mapping[str, Login] = field(default_factory=dict)
    buckets: Mapping[str, AwsAccess] = field(default_factory=dict)

    def __or__(self, other: "Keyring") -> "Keyring":
        """Both; `other` goes before where they say different things of the same."""
        return Keyring(
            {**self.git, **other.git},
            {**self.registries, **other.registries},
            {**self.buckets, **other.buckets},
        )


_held = ContextVar("keyring", default=Keyring())  # noqa: B039 - frozen, and nobody changes its mappings


def held() -> Keyring:
    """The keyring of the innermost `holding` block; an empty one outside of it."""
    return _held.get()


@contextmanager
def holding(keyring: Keyring) -> Iterator[None]:
    """While it is open, `keyring` is at hand for all that is called."""
    token = _held.set(keyring)
    try:
        yield
    finally:
        _held.reset(token)

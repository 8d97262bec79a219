"""Running Git through GitPython: it never waits for a person, and its messages carry no credentials."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.address import redact
from tasks.errors import AddressInvalid, NotSupported, RepositoryUnreachable

if TYPE_CHECKING:
    from git import Git

_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

# ext:: addresses run any program; garbage collection in the background would outlive temporary directories.
_CONFIG = {"protocol.ext.allow": "never", "gc.auto": "0"}


def git_at(directory: Path) -> "Git":
    """GitPython's command runner for `directory`, set up so that Git fails where it would ask.

    Credential helpers, ssh keys and the user's own ssh command keep working.

    Raises:
        NotSupported: there is no `git` on the PATH.
    """
    try:
        from git import Git
    except ImportError:  # GitPython looks for the program when it is imported
        raise _no_git() from None
    git = Git(directory)
    git.update_environment(**quiet_environment(os.environ))
    default = "" if "GIT_SSH" in os.environ else "ssh"
    ssh = os.environ.get("GIT_SSH_COMMAND") or git.config("--default", default, "--get", "core.sshCommand")
    if ssh:
        git.update_environment(GIT_SSH_COMMAND=f"{ssh} -o BatchMode=yes")
    return git


def quiet_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What to set on top of `inherited` so that Git does not prompt and speaks untranslated English."""
    settings = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",  # empty also switches off core.askPass and SSH_ASKPASS, which unset would not
        "LC_ALL": "C",
        "LANGUAGE": "C",
    }
    first = int(inherited.get("GIT_CONFIG_COUNT") or 0)
    for number, (key, value) in enumerate(_CONFIG.items(), start=first):
        settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return settings | {"GIT_CONFIG_COUNT": str(first + len(_CONFIG))}


def partial(address: str) -> tuple[str, ...]:
    """Arguments that let a clone of `address` leave file contents on the server until they are needed.

    None for repositories of this machine: they cost little, and a working copy that is itself shallow, as CI
    systems make them, would send Git's fetching of missing objects into an endless recursion of processes.
    """
    remote = "://" in address and not address.startswith("file://")
    host, colon, _ = address.partition(":")
    scp_like = bool(colon) and "/" not in host
    return ("--filter=blob:none",) if remote or scp_like else ()


@contextmanager
def reaching(address: str, what: str) -> Iterator[None]:
    """Turns what GitPython raises inside into the error tree; `what` is the sentence that failed.

    Raises:
        RepositoryUnreachable: a git command failed; `why` is what Git said, without credentials.
        AddressInvalid: GitPython takes the address for one that runs a program.
        NotSupported: there is no `git` on the PATH.
    """
    try:
        from git.exc import GitCommandError, GitCommandNotFound, UnsafeProtocolError
    except ImportError:
        raise _no_git() from None
    try:
        yield
    except GitCommandNotFound:
        raise _no_git() from None
    except UnsafeProtocolError:
        raise AddressInvalid(
            "The repository address cannot be used.",
            where=redact(address),
            why="It names a Git remote helper, which can run any program.",
            next_step="Use a path, or an https://, ssh:// or file:// address.",
        ) from None
    except GitCommandError as error:
        # `from None`: the original names the whole command line.
        raise unreachable(address, what, said(error)) from None


def unreachable(address: str, what: str, why: str) -> RepositoryUnreachable:
    """The error for a repository that does not answer; `address` and `why` may still carry credentials."""
    return RepositoryUnreachable(
        what,
        where=redact(address),
        why=spoken(why),
        next_step="Check the address, the network and the credentials (`git ls-remote` with this address), "
        "then try again.",
    )


def said(error: Exception) -> str:
    """What Git wrote to standard error, out of the frame that GitPython puts around it; not redacted."""
    return str(getattr(error, "stderr", "")).removeprefix("\n  stderr: '").removesuffix("'")


def spoken(stderr: str) -> str:
    """Git's messages for people: `remote:` prefixes and terminal codes trimmed, credentials redacted."""
    lines = (_CONTROL.sub("", line).rstrip() for line in stderr.splitlines())
    trimmed = (line.removeprefix("remote:").removeprefix(" ") for line in lines)
    return redact("\n".join(line for line in trimmed if line and not line.startswith("Cloning into ")))


def _no_git() -> NotSupported:
    return NotSupported(
        "The program `git` was not found.",
        where="PATH",
        next_step="Install Git 2.34 or newer, or set GIT_PYTHON_GIT_EXECUTABLE to it.",
    )

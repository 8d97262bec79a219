"""The whole chain within a CI job: where its notebooks come from, and with whose credentials."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deployments.start.ending import Ending
from deployments.start.identity import assumed, job_token
from deployments.start.systems import System
from tasks.address import redact, resolve_address
from tasks.config.load import load_project
from tasks.errors import InvalidInput
from tasks.git import git_at
from tasks.keyring import Keyring, Login, holding


@dataclass(frozen=True)
class Access:
    """Credentials and places that a job was given for its release; empty where it was given none.

    `token` reads the notebook repository, `fleet_token` pushes to the fleet.
    """

    token: str = field(default="", repr=False)
    fleet_token: str = field(default="", repr=False)
    role: str = ""
    region: str = ""
    cluster: str = ""


def release_here(
    system: System,
    folder: Path,
    commit: str,
    model: str | None,
    attempt: int,
    approval: str | None,
    access: Access,
) -> Ending:
    """Releases a model of the working copy in `folder`, whose origin the notebooks are fetched from.

    `approval` is the reason of a model's approval that was given before the job began.

    Raises:
        ModelflightError: what ended the release.
    """
    from deployments.approver import approver
    from deployments.prefect_run import run_release

    git = git_at(folder)
    origin = _origin(git.remote("get-url", "origin", with_exceptions=False), folder)
    commit = commit or str(git.rev_parse("HEAD", with_exceptions=False)) or "HEAD"
    with _aws(system, access), holding(_logins(system, folder, model, origin, access)):
        done = run_release(origin, commit, model, attempt, approver=approver(approval))
    return Ending.of_release(done, system.page)


def _origin(address: str, folder: Path) -> str:
    """The repository's own address: it stays with the release, and relative fleet addresses start there."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        return address or str(folder.resolve())
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # GitLab puts a token into it


def _logins(system: System, folder: Path, model: str | None, origin: str, access: Access) -> Keyring:
    """Logins for this release alone: Git's own configuration would hand them to the notebook's code."""
    logins = {}
    if access.fleet_token:
        fleet = load_project(folder).model(model).fleet.repository
        logins[resolve_address(fleet, origin)] = Login("git", access.fleet_token)
    if access.token:
        logins[origin] = Login(system.user, access.token)
    return Keyring(git={address: login for address, login in logins.items() if _over_http(address)})


def _over_http(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https")


@contextmanager
def _aws(system: System, access: Access) -> Iterator[None]:
    """While it is open, AWS's libraries have the role, and Kubernetes' the cluster."""
    token = job_token()
    if not access.role:
        _write_kubeconfig(system, access)
        yield
        return
    with assumed(access.role, token):
        _write_kubeconfig(system, access)
        yield


def _write_kubeconfig(system: System, access: Access) -> None:
    if not access.cluster:
        return
    if not access.region:
        raise InvalidInput(
            "The EKS cluster's region is not known.",
            where=f"eks-cluster: {redact(access.cluster)}",
            next_step="Set aws-region.",
        )
    from deployments.start.eks import write_kubeconfig

    folder = tempfile.mkdtemp(prefix="modelflight-", dir=os.environ.get("RUNNER_TEMP"))
    file = Path(folder, "kubeconfig")
    write_kubeconfig(access.region, access.cluster, file)
    system.export("KUBECONFIG", str(file))

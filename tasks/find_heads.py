"""Asks registered repositories for the heads of their branches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.comparison import Registration
from tasks.errors import ModelflightError
from tasks.notebook.history import head_of
from tasks.release import CommitSha

_AT_ONCE = 8


@task(name="find heads", tags=["modelflight"], cache_policy=NO_CACHE, persist_result=False)
def find_heads(registrations: Sequence[Registration]) -> dict[str, CommitSha]:
    """Heads by the names of the registrations; what does not answer is left out, for others to tell."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        contexts = [copy_context() for _ in registrations]  # the keyring is in it
        heads = pool.map(lambda context, each: context.run(_head, each), contexts, registrations)
        return {each.name: head for each, head in zip(registrations, heads, strict=True) if head}


def _head(registration: Registration) -> CommitSha | None:
    try:
        return head_of(registration.address, registration.branch)
    except ModelflightError:
        return None

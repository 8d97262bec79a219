"""The addresses of Prefect's pages, for people.

Its server has two generations of them: the older at its root, the newer below /v2. Only the root itself leads
on to the newer, so links have to name it.
"""

import os
from urllib.parse import urlsplit

_RUN = "/runs/flow-run/"


def pages(api: str) -> str:
    """Where the pages of the Prefect API at `api` are, without a login that its address may hold.

    PREFECT_UI_URL says it, with which Prefect's own links begin; by default they are beside the API.
    """
    said = urlsplit(os.environ.get("PREFECT_UI_URL") or f"{api.rstrip('/').removesuffix('/api')}/v2")
    return said._replace(netloc=said.netloc.rpartition("@")[2]).geturl().rstrip("/")


def run_page(pages: str, run: object) -> str:
    """The page of the flow run with the id `run`."""
    return f"{pages}{_RUN}{run}"


def is_run_page(text: str) -> bool:
    """Whether `text` is the address of a flow run's page."""
    return "://" in text and _RUN in text

"""What is done before a worker starts: its work pool is made, and what it left unfinished goes on.

Usage: python -m deployments.up.before_worker WORKER_NAME, with PREFECT_API_URL and MODELFLIGHT_WORK_POOL set.
"""

import os
import sys
from contextlib import closing

import httpx

from deployments.up.api import Api
from flows.settings import work_pool
from tasks.address import redact
from tasks.errors import InvalidInput


def before_worker(api: Api, pool: str, worker: str) -> list[str]:
    """Makes the pool, and returns the names of the flow runs that are scheduled again.

    Raises:
        InvalidInput: the pool's flow runs run elsewhere.
        httpx.HTTPError: Prefect does not answer.
    """
    api.ensure_pool(pool)
    return api.resume(pool, worker)


def main() -> None:
    """The same for a service manager: exit status 1 where Prefect does not answer yet."""
    login = os.environ.get("PREFECT_API_AUTH_STRING") or None
    with closing(Api(os.environ["PREFECT_API_URL"], login)) as api:
        try:
            resumed = before_worker(api, work_pool(), sys.argv[1])
        except (httpx.HTTPError, InvalidInput) as error:
            sys.exit(redact(str(error)))
    for name in resumed:
        sys.stdout.write(f"{name} was interrupted, and is scheduled again\n")


if __name__ == "__main__":
    main()

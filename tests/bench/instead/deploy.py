"""Deployments as Prefect's documentation makes them: `python -m tests.bench.instead.deploy NUMBER`."""

import sys

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from flows.release_model import release_model

POOL = "instead"


def main() -> None:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"), overwrite=True)
    for number in range(int(sys.argv[1])):
        release_model.to_deployment(
            name=f"instead.small{number}",
            work_pool_name=POOL,
            parameters={"repository": "https://forge.example.com/notebooks.git", "model": f"small{number}"},
            tags=["instead"],
            cron="0 3 * * 1",
            concurrency_limit=1,
        ).apply()


if __name__ == "__main__":
    main()

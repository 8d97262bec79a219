"""A flow that runs until it is ended, imported by the flow runs that the tests of `modelflight up` start."""

import time

from prefect import flow


@flow(name="waiting")
def waiting(seconds: int) -> None:
    time.sleep(seconds)

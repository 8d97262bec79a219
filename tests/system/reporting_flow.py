"""A flow whose tasks leave a table and a note, as a release does; prints the id of its run."""

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run


@task
def compare() -> None:
    create_table_artifact([{"metric": "accuracy", "champion": 0.91, "challenger": 0.97}], key="metrics")


@task
def settle() -> None:
    create_markdown_artifact("# Verdict\n\nThe canary of **wine** was promoted.", key="verdict")


@flow
def report_release() -> str:
    compare()
    settle()
    return str(flow_run.id)


if __name__ == "__main__":
    print(report_release())

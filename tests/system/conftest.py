"""The system tests' fixtures, and the logs that a failing test shows."""

from collections.abc import Generator

import pytest

from tests.system.fixtures.base import testbed
from tests.system.fixtures.kubernetes import *  # noqa: F403
from tests.system.fixtures.stage import *  # noqa: F403
from tests.system.fixtures.surroundings import *  # noqa: F403

__all__ = ["testbed"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the last lines of all logs, and the events in the test's namespace, to a failure's report."""
    report = yield
    if report.failed:
        used = item.funcargs if isinstance(item, pytest.Function) else {}
        if found := used.get("testbed"):
            report.sections += [(component.name, component.log_tail()) for component in found.components]
        if {"cluster", "namespace"} <= used.keys():
            namespace = used["namespace"]
            report.sections.append((f"events in {namespace}", used["cluster"].api.events(namespace)))
    return report

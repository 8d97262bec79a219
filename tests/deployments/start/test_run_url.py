"""The address that a job tells of its run when the release fails without one."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from deployments.start import __main__ as job
from deployments.start import api
from deployments.start.follow import Started
from tasks.errors import PrefectUnreachable

PAGE = "https://prefect.example.com/v2/runs/flow-run/1"


@pytest.fixture
def run_url(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """The outcome's `run_url`, with a Prefect API that does not answer."""
    monkeypatch.setattr(api, "_FIRST_PATIENCE", 0.0)
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "PREFECT_UI_URL"):
        monkeypatch.delenv(name, raising=False)
    variables = {"PREFECT_API_URL": "http://127.0.0.1:1/api", "MODELFLIGHT_DEPLOYMENT": "notebooks.wine"}

    def run() -> str:
        result = CliRunner().invoke(job.main, ["--output", "json"], env=variables)
        assert result.exit_code == 1
        return str(json.loads(result.stdout)["run_url"])

    return run


def test_an_api_that_does_not_answer_is_no_page_of_a_run(run_url: Callable[[], str]) -> None:
    assert run_url() == ""


def test_a_run_that_was_started_keeps_its_page_when_the_api_goes_away(
    run_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise PrefectUnreachable("The Prefect API does not answer.", where="http://127.0.0.1:1/api")

    monkeypatch.setattr(job, "start_run", lambda *_: Started("1", "wine", "wine-0123456789ab-1", PAGE))
    monkeypatch.setattr(job, "wait_for", gone)
    assert run_url() == PAGE

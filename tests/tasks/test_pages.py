"""Links to Prefect's pages."""

import pytest

from tasks.pages import is_run_page, pages, run_page


@pytest.mark.parametrize("api", ["https://example.com/prefect/api", "https://example.com/prefect/api/"])
def test_links_lead_to_the_newer_pages_beside_the_api(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    assert run_page(pages(api), "1") == "https://example.com/prefect/v2/runs/flow-run/1"


def test_a_login_in_the_apis_address_is_in_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    assert pages("https://ada:pa55@example.com:8443/api") == "https://example.com:8443/v2"


def test_links_begin_as_prefects_own_where_prefect_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    from uuid import UUID

    from prefect.settings import PREFECT_UI_URL, temporary_settings
    from prefect.utilities.urls import url_for

    monkeypatch.setenv("PREFECT_UI_URL", "https://pages.example.com/v2/")
    run = UUID(int=1)
    with temporary_settings({PREFECT_UI_URL: "https://pages.example.com/v2/"}):
        assert run_page(pages("https://example.com/api"), run) == url_for("flow-run", run)


def test_the_page_of_a_run_is_told_from_other_places() -> None:
    assert is_run_page("https://example.com/v2/runs/flow-run/1")
    assert not is_run_page("https://example.com/api")
    assert not is_run_page("PREFECT_API_URL=https://example.com/api")

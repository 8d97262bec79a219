from pathlib import Path

import pytest

from tests.system.testbed.browser import Browser
from tests.system.testbed.prefect_server import PrefectServer

PATIENCE = 60_000  # milliseconds, for a busy machine


def test_the_page_of_a_flow_run_shows_its_artifacts(
    browser: Browser, prefect_server: PrefectServer, reported_run: str, tmp_path: Path
) -> None:
    address = f"{prefect_server.address}/v2/runs/flow-run/{reported_run}?tab=Artifacts"
    with browser.open_page(address, tmp_path) as opened:
        opened.expect_text("Completed", "metrics", "verdict")
        assert opened.problems_besides(prefect_server.known_problems) == []


@pytest.mark.parametrize(
    ("key", "text"), [("metrics", "0.97"), ("verdict", "The canary of wine was promoted.")]
)
def test_the_page_of_an_artifact_shows_what_is_in_it(
    browser: Browser, prefect_server: PrefectServer, reported_run: str, key: str, text: str, tmp_path: Path
) -> None:
    artifact = prefect_server.artifacts(reported_run)[key]
    address = f"{prefect_server.address}/v2/artifacts/artifact/{artifact['id']}"
    with browser.open_page(address, tmp_path) as opened:
        opened.expect_text(text)
        assert opened.problems_besides(prefect_server.known_problems) == []


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("console.error('told')", "told"),
        ("throw new Error('thrown')", "thrown"),
        ("fetch('http://127.0.0.1:1/refused')", "http://127.0.0.1:1/refused"),
    ],
)
def test_what_goes_wrong_in_a_page_is_noticed(
    browser: Browser, script: str, problem: str, tmp_path: Path
) -> None:
    broken = tmp_path / "page.html"
    broken.write_text(f"<title>loading</title><script>{script}</script>")
    with browser.open_page(broken.as_uri(), tmp_path) as opened:
        for _ in range(PATIENCE // 20):
            if opened.problems:
                break
            opened.page.wait_for_timeout(20)
        assert problem in opened.problems[0]


def test_a_failure_leaves_a_picture_of_the_page(browser: Browser, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as failed, browser.open_page("about:blank", tmp_path):
        _ = 1 / 0

    assert (tmp_path / "page.png").stat().st_size > 0
    assert str(tmp_path / "page.png") in failed.value.__notes__[0]

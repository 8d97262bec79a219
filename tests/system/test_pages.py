"""A person registers repositories, starts a release, approves it and looks at it: all in Prefect's pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.system.fixtures.picture import Picture
from tests.system.testbed.browser import Browser
from tests.system.testbed.example import Example
from tests.system.testbed.gitea import USER, Gitea
from tests.system.testbed.pages import PrefectPages
from tests.system.testbed.testbed import Testbed
from tests.system.testbed.up import Up
from tests.system.testbed.working_copy import WorkingCopy

# The model waits for a person; the second one is there to be seen.
MORE = """
    approval: before_bump
  - name: vintage
    notebook: wine.ipynb
    parameters: {trees: 40}
    gate: {metric: accuracy, better: higher, minimum: 0.9}
    image: registry.example.com/models/vintage
    fleet: {repository: ../wines-fleet.git, path: apps/vintage}
    schedule: {cron: "0 3 * * *", timezone: Europe/Berlin}
"""


@pytest.fixture
def wines(testbed: Testbed, gitea: Gitea) -> Example:
    return Example.publish(testbed.folder("wines"), gitea, "wines", more=MORE)


@pytest.fixture
def pages(browser: Browser, up: Up, tmp_path: Path) -> Iterator[PrefectPages]:
    with browser.open_page(up.address, tmp_path) as opened:
        yield PrefectPages(opened, up)


def address(repository: WorkingCopy) -> str:
    """Git takes all names below localhost for this machine; with this one the pictures read well."""
    return repository.address.replace("127.0.0.1", "git.localhost")


def test_a_release_is_registered_started_approved_and_seen_in_the_pages(
    wines: Example, up: Up, pages: PrefectPages, picture: Picture
) -> None:
    login = {"Username": USER, "Token": wines.notebooks.gitea.token}
    pages.choose_block("Modelflight notebook repository")
    pages.fill({"Name": "notebooks", "Address": address(wines.notebooks), **login})
    pages.fill({"Webhook Secret": wines.webhook_secret})
    picture(pages.page, "register", 1.1)
    pages.save_block()
    pages.choose_block("Modelflight fleet repository")
    pages.fill({"Name": "fleet", "Address": address(wines.fleet), **login})
    pages.save_block()

    up.wait_for_deployment("notebooks.wine")
    pages.visit("/deployments")
    pages.page.get_by_placeholder("Search deployments").fill("notebooks")
    pages.expect_text("notebooks.wine", "notebooks.vintage")
    picture(pages.page, "deployments")

    pages.choose_custom_run("notebooks.wine")
    expect(pages.page.get_by_role("textbox", name="Commit")).to_have_value("main")
    picture(pages.page, "start")
    run = pages.submit_run()

    name = up.wait_for_state(run, "Suspended")["name"]
    pages.visit_run(run, "Details")
    pages.expect_text("Suspended")
    form = pages.ask_to_resume()
    header = "metricbetterchallengerchampiondifferencetolerancelimitoutcome"
    expect(form.get_by_role("row").first).to_have_text(header)
    expect(form.get_by_role("row").last).to_contain_text("none serves yet")
    approve = form.get_by_role("switch", name="Bring it into the fleet")
    expect(approve).not_to_be_checked()
    approve.check()
    pages.resume()
    expect(pages.page.get_by_text("Validation failed for field 'name'")).to_be_visible()
    pages.fill({"Who you are": "Grace Hopper", "Why": "Better than the last vintage"}, form)
    picture(pages.page, "approve", 1.45)
    pages.resume()

    up.wait_for_state(run, "Untracked")
    pages.visit_run(run, "Artifacts")
    pages.expect_text(
        "Untracked", *(f"wine-{part}" for part in ("gate", "image", "approval", "fleet", "release"))
    )
    picture(pages.page, "artifacts", 1.25)
    artifacts = up.artifacts(run)
    for key, text in (("wine-gate", "none serves yet"), ("wine-approval", "Grace Hopper")):
        pages.visit(f"/artifacts/artifact/{artifacts[key]['id']}")
        pages.expect_text(text)
    assert pages.problems == []

    message = wines.fleet.git("show", "--no-patch", "--format=%B", wines.fleet.pull())
    assert f"Release-Id: {name}" in message
    assert "Approved-By: Grace Hopper" in message

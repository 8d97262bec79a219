"""What a person does in Prefect's pages, by what is written on them."""

import re
from collections.abc import Mapping

from playwright.sync_api import Locator, Page, expect

from tests.system.testbed.browser import OpenPage
from tests.system.testbed.prefect_server import PrefectApi

_PATIENCE = 60_000  # milliseconds, for a busy machine; the pages look for news every 30 seconds


class PrefectPages:
    """Prefect's pages in an open page of the browser."""

    def __init__(self, opened: OpenPage, server: PrefectApi) -> None:
        self._opened, self._server = opened, server
        opened.page.set_default_timeout(_PATIENCE)

    @property
    def page(self) -> Page:
        """The browser's page."""
        return self._opened.page

    @property
    def problems(self) -> list[str]:
        """What went wrong in them so far."""
        return self._opened.problems_besides(self._server.known_problems)

    def visit(self, path: str) -> None:
        """Goes to a page by its address."""
        self.page.goto(f"{self._server.address}/v2{path}")

    def expect_text(self, *texts: str) -> None:
        """Waits until all of the texts are visible."""
        for text in texts:
            expect(self.page.get_by_text(text, exact=True).first).to_be_visible(timeout=_PATIENCE)

    def fill(self, fields: Mapping[str, str], form: Locator | None = None) -> None:
        """Writes into the fields with these labels."""
        for label, text in fields.items():
            named = re.compile(rf"^{re.escape(label)}( \(Optional\))?$")
            (form or self.page.locator("main")).get_by_role("textbox", name=named).fill(text)

    def choose_block(self, kind: str) -> None:
        """Finds the type of a block in the catalog, and opens its form."""
        self.visit("/blocks/catalog")
        self.page.get_by_placeholder("Search blocks").fill(kind)
        self.expect_text("1 Block")
        self.page.get_by_role("link", name="Create").click()

    def save_block(self) -> None:
        """Sends the form of a block."""
        self.page.get_by_role("button", name="Save").click()
        self.expect_text("Block created successfully")

    def choose_custom_run(self, deployment: str) -> None:
        """Finds a deployment in the list, and opens the form that it is started with."""
        self.visit("/deployments")
        self.page.get_by_role("link", name=deployment, exact=True).click()
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Custom run").click()

    def submit_run(self) -> str:
        """Sends that form, and goes to the page of the run; its id."""
        self.page.get_by_role("button", name="Submit").click()
        self.page.get_by_role("link", name="View run").click()
        self.page.wait_for_url("**/runs/flow-run/*")
        return self.page.url.rpartition("/")[2].partition("?")[0]

    def visit_run(self, run: str, tab: str) -> None:
        """Goes to the page of a run."""
        self.visit(f"/runs/flow-run/{run}?tab={tab}")

    def ask_to_resume(self) -> Locator:
        """On the page of a suspended run, opens the form that asks what it waits for."""
        self.page.get_by_role("button", name="Open menu").click()
        self.page.get_by_role("menuitem", name="Resume").click()
        return self.page.get_by_role("dialog")

    def resume(self) -> None:
        """Sends that form."""
        self.page.get_by_role("dialog").get_by_role("button", name="Resume").click()

"""A browser without a window: Debian's Chromium, driven by Playwright."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Error, Page, Request, expect, sync_playwright

from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port


@dataclass
class OpenPage:
    """A page, and what went wrong in it so far: errors in its console, its scripts and its requests."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"{_script(error)}: {error}"))
        self.page.on("requestfailed", self._request_failed)

    def problems_besides(self, known: tuple[str, ...]) -> list[str]:
        """What went wrong and does not begin with one of `known`."""
        return [problem for problem in self.problems if not problem.startswith(known)]

    def expect_text(self, *texts: str, within: float = 60) -> None:
        """Waits until all of the texts are visible, `within` seconds.

        Chromium gives up its requests when a network interface comes or goes, and each pod has one; the page
        is then loaded again, as a person would do.

        Raises:
            AssertionError: a text was not visible in time.
        """
        deadline = time.monotonic() + within
        while not self._shows(texts, deadline):
            self.problems.clear()
            self.page.reload()

    def _shows(self, texts: Sequence[str], deadline: float) -> bool:
        """Whether all became visible, before the network changed."""
        for text in texts:
            visible = expect(self.page.get_by_text(text, exact=True).first)
            while not self._interrupted():
                try:
                    visible.to_be_visible(timeout=1000)
                    break
                except AssertionError:
                    if time.monotonic() > deadline:
                        raise
        return not self._interrupted()

    def _interrupted(self) -> bool:
        return any("net::ERR_NETWORK_CHANGED" in problem for problem in self.problems)

    def _request_failed(self, sent: Request) -> None:
        if sent.failure != "net::ERR_ABORTED":  # the page itself gives it up, for another page
            self.problems.append(f"{sent.url}: {sent.failure}")

    def _console(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.problems.append(f"{said.location['url']}: {said.text}")


def _script(error: Error) -> str:
    """The address of the script that an error was thrown in."""
    found = re.search(r"\w+://[^\s()]+", error.stack or "")
    return found[0] if found else ""


class Browser(Component):
    """Chromium; each page that is opened has a profile of its own."""

    name = "chromium"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    @property
    def address(self) -> str:
        """Where it takes commands in the Chrome DevTools Protocol."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def open_page(self, url: str, screenshots: Path) -> Iterator[OpenPage]:
        """Opens a page; when the block fails, its picture is left in `screenshots` and named in the error.

        No event loop can be started within the block: Playwright runs one in this thread.
        """
        with sync_playwright() as playwright:
            chromium = playwright.chromium.connect_over_cdp(self.address)
            context = chromium.new_context(viewport={"width": 1280, "height": 900})
            opened = OpenPage(context.new_page())
            try:
                opened.page.goto(url)
                yield opened
            except Exception as error:
                screenshot = screenshots / "page.png"
                opened.page.screenshot(path=screenshot, full_page=True)
                error.add_note(f"{url} looked like {screenshot}; its problems: {opened.problems}")
                raise
            finally:
                context.close()

    def command(self) -> Sequence[str | Path]:
        return [
            "/usr/bin/chromium", "--headless", f"--remote-debugging-port={self.port}",
            f"--user-data-dir={self.folder / 'profile'}",
            "--no-sandbox",  # it refuses to be root's otherwise; it opens nothing but the testbed's pages
            "--disable-dev-shm-usage",  # what is in /dev/shm would outlive a SIGKILL
            "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return answers(f"{self.address}/json/version")

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.release import (
    CommitSha,
    Digest,
    FleetCommit,
    GateDecision,
    Interval,
    MetricComparison,
    ModelImage,
    Release,
    ReleaseId,
    Source,
    Span,
    Verdict,
)
from tasks.report.compared import decimals
from tasks.report.page import diff_lines, duration, headline, render_report, size, utc

DIFF = """\
diff --git a/apps/wine/deployment.yaml b/apps/wine/deployment.yaml
--- a/apps/wine/deployment.yaml
+++ b/apps/wine/deployment.yaml
@@ -20,3 +20,3 @@ spec:
         - name: model
-          image: registry.example.com/models/wine:old
+          image: registry.example.com/models/wine:new
           command: ["/copy", "/models"]
"""
ROOT = Path(__file__).parents[3]
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
LOADING = {"script", "link", "img", "image", "iframe", "object", "embed", "base", "video", "audio", "form"}


class Page(HTMLParser):
    """The parsed page; fails on a tag that is closed out of order or not at all."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of <{tag}> is there twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open, f"<{tag}/> closes itself only in SVG"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        words = "".join(data for tag, data in self.words if tag not in ("style", "title"))
        return re.sub(r"\s+", " ", words)

    def attributes(self, name: str, *, of: str | None = None) -> list[str]:
        return [a[name] for tag, a in self.elements if name in a and of in (None, tag)]


def made(number: int, *, verdict: Verdict = Verdict.UNTRACKED, subject: str = "Grow more trees") -> Release:
    """A release that began on the `number`-th day of June 2025."""
    commit = CommitSha(f"{number:02x}" * 20)
    began = datetime(2025, 6, number, 9, 14, 3, tzinfo=UTC)
    digest = Digest(f"sha256:{number + 100:02x}{'0' * 62}")
    image = ModelImage("registry.example.com/models/wine", f"tag-{number}", digest, 48_301_112, "oci:layout")
    fleet_commit = FleetCommit(
        CommitSha(f"{number + 200:02x}" * 20), "main", "apps/wine", DIFF, created=True, current=True
    )
    refused = verdict is Verdict.REFUSED
    challenger = 0.8889 if refused else 0.93 + number / 1000
    reasons = ("accuracy 0.8889 is below the minimum 0.9", "it is worse than the champion") if refused else ()
    return Release(
        release_id=ReleaseId.of("wine", commit, 1),
        model="wine",
        source=Source(
            "https://git.example.com/wine.git",
            commit,
            began - timedelta(minutes=3),
            subject,
            Path("checkout"),
        ),
        metrics={"accuracy": challenger, "log_loss": 0.11875},
        decision=GateDecision(
            (MetricComparison("accuracy", "higher", challenger, 0.93, 0.9, 0.01, reasons),),
            str(digest),
            str(digest),
        ),
        image=None if refused else image,
        fleet_commit=None if refused else fleet_commit,
        verdict=verdict,
        timeline=(
            Span("compile notebook", began, 3.21, "compiled, 5 steps"),
            Span("run pipeline", began + timedelta(seconds=3.3), 125.0, "succeeded"),
            Span("gate", began + timedelta(seconds=128.4), 0.002, "refused" if refused else "passed"),
        ),
    )


def compared(release: Release, **changes: object) -> GateDecision:
    """The release's decision with `changes` to its only comparison."""
    (comparison,) = release.decision.comparisons
    return replace(release.decision, comparisons=(replace(comparison, **changes),))


FOUR = [made(1), made(2), made(3, verdict=Verdict.REFUSED), made(4)]


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(FOUR)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_page_loads_nothing_from_anywhere(html: str, page: Page):
    assert not LOADING & {tag for tag, _ in page.elements}
    for name in ("src", "srcset", "action", "poster", "data", "background", "xlink:href"):
        assert not page.attributes(name)
    assert all(link.startswith("#") for link in page.attributes("href"))
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", html))
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_every_id_is_there_once_and_every_reference_finds_its_id(html: str, page: Page):
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    links = {link[1:] for link in page.attributes("href")} | set(re.findall(r"url\(#([^)]*)", html))
    wanted = links | set(page.attributes("aria-labelledby"))
    assert len(wanted) > len(FOUR)
    assert wanted <= set(ids)


def test_every_commit_digest_and_release_is_written_out_in_full(page: Page):
    for release in FOUR:
        assert release.release_id in page.text
        assert release.source.commit in page.text
        if release.image and release.fleet_commit:
            assert release.image.reference in page.text
            assert release.fleet_commit.commit in page.text


def test_releases_are_told_newest_first_whatever_order_they_come_in(html: str):
    assert render_report(FOUR[::-1]) == html
    titles = [f'id="release-{number}-title"' for number in range(1, 5)]
    assert [html.index(title) for title in titles] == sorted(html.index(title) for title in titles)
    newest = html[html.index(titles[0]) : html.index(titles[1])]
    assert FOUR[3].release_id in newest


def test_same_releases_give_the_same_page_in_another_process(html: str):
    # Another process has another hash seed, and a matplotlib that nobody has touched.
    code = "from test_report_page import *; sys.stdout.write(render_report(FOUR))"
    environment = {"PYTHONPATH": f"{Path(__file__).parent}:{ROOT}", "PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert run.stdout.decode() == html


def test_plotting_is_loaded_late_and_never_as_pyplot():
    code = (
        "import sys; from tasks.report.page import render_report; assert 'matplotlib' not in sys.modules;"
        "from test_report_page import FOUR; render_report(FOUR); assert 'matplotlib' in sys.modules;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {"PYTHONPATH": f"{Path(__file__).parent}:{ROOT}"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_settings_of_the_readers_own_matplotlib_change_nothing(html: str):
    import matplotlib

    own = {"svg.hashsalt": "mine", "font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path"}
    with matplotlib.rc_context(own):
        assert render_report(FOUR) == html
        assert matplotlib.rcParams["font.size"] == 30


def test_refused_release_says_why_and_that_nothing_was_published(page: Page):
    assert "1 of 4 The gate said no, or a person. Nothing was brought into the fleet" in page.text
    refused = page.text[page.text.index(f"{FOUR[2].release_id} What changed") :]
    refused = refused[: refused.index("Timeline")]
    assert "Decisionrefused accuracy 0.8889 is below the minimum 0.9 it is worse than the champion" in refused
    assert "Model image None was published." in refused
    assert "None: the fleet repository stayed as it was." in refused


def test_refused_release_is_named_as_such_to_a_screen_reader(page: Page):
    (wide, narrow) = [
        label for label in page.attributes("aria-label", of="svg") if "each challenger" in label
    ]
    assert wide == narrow
    assert "oldest first: 0101010 0.9310, 0202020 0.9320, 0303030 0.8889 (refused), 0404040 0.9340." in wide


def test_gate_table_has_all_numbers_to_the_same_decimals(page: Page):
    first = page.text[page.text.index(f"{FOUR[3].release_id} What changed") :]
    assert "Challenger0.9340" in first
    assert "Champion0.9300the model that served then sha256:" in first
    assert "Difference+0.0040the challenger is better" in first
    assert "Fixed limit0.9000the challenger must have at least this" in first
    assert "Tolerance0.0100" in first
    assert "Decisionpassed" in first
    assert "log_loss0.11875" in first


def test_where_lower_is_better_the_words_turn_round():
    comparison = MetricComparison("error", "lower", 0.2, 0.1, 0.15, 0.0, ("too high",))
    decision = GateDecision((comparison,), "image", "image")
    text = Page(render_report([replace(FOUR[2], decision=decision)])).text
    assert "Difference+0.1000the challenger is worse (lower is better)" in text
    assert "must have at most this" in text


def test_first_release_has_no_champion_and_a_gate_may_have_no_limit():
    decision = replace(compared(FOUR[0], champion=None, limit=None), champion_image=None)
    text = Page(render_report([replace(FOUR[0], decision=decision)])).text
    assert "Championnoneno model to compare with yet" in text
    assert "Differencenonenothing to compare with" in text
    assert "Fixed limitnoneno limit is set" in text


HOSTILE = "<script>alert(1)</script> \"quoted\" 'single' & </pre></title>\nsecond line $x$ \\frac"


def test_text_from_outside_stays_text(page: Page):
    release = made(5, subject=HOSTILE)
    assert release.image
    assert release.fleet_commit
    hostile = replace(
        release,
        model=HOSTILE,
        source=replace(release.source, address=HOSTILE),
        metrics={HOSTILE: 1.0},
        decision=replace(compared(release, metric=HOSTILE, reasons=(HOSTILE,)), champion_image=HOSTILE),
        image=replace(release.image, repository=HOSTILE, tag=HOSTILE),
        fleet_commit=replace(
            release.fleet_commit, branch=HOSTILE, path=HOSTILE, diff=f"@@ -1 +1 @@\n-{HOSTILE}\n+{HOSTILE}"
        ),
        timeline=(Span(HOSTILE, release.timeline[0].started, 1.0, HOSTILE),),
    )
    html = render_report([hostile])
    parsed = Page(html)
    assert "<script" not in html
    assert {tag for tag, _ in parsed.elements} <= {tag for tag, _ in page.elements}
    shown = re.sub(r"\s+", " ", HOSTILE)
    # model twice, subject three times, each of the ten other places at least once
    assert parsed.text.count(shown) >= 15
    assert any(HOSTILE in label for label in parsed.attributes("aria-label", of="svg"))


def test_commit_without_a_subject_still_has_a_title_to_click():
    assert Page(render_report([made(1, subject=" ")])).text.count("(no subject)") == 3


def test_no_releases_give_a_friendly_page():
    page = Page(render_report([]))
    assert "No releases yet" in page.text
    assert "modelflight release" in page.text
    assert "svg" not in {tag for tag, _ in page.elements}


def test_release_without_a_recorded_step_takes_the_commits_time():
    page = Page(render_report([replace(FOUR[0], timeline=())]))
    assert "No steps were recorded." in page.text
    assert "2025-06-01 09:11:03 UTC wine" not in page.text
    assert page.text.count("2025-06-01 09:11:03 UTC") == 3


def test_fleet_that_carried_the_image_already_is_said_so():
    fleet_commit = replace(FOUR[0].fleet_commit, created=False, diff="")
    page = Page(render_report([replace(FOUR[0], fleet_commit=fleet_commit)]))
    assert "carried this image already" in page.text
    assert "pre" not in {tag for tag, _ in page.elements}


def test_timeline_is_a_table_too(page: Page):
    assert "compile notebook3.2 scompiled, 5 steps2025-06-04 09:14:03 UTC" in page.text
    assert "run pipeline2 min 05 ssucceeded2025-06-04 09:14:06 UTC" in page.text
    assert "gate0.00 spassed" in page.text


def test_each_plot_is_described_in_words(page: Page):
    plots = [attributes for tag, attributes in page.elements if tag == "svg" and "viewBox" in attributes]
    spoken = [a for a in page.elements if a[0] == "svg" and a[1].get("role") == "img"]
    # Two widths of the metric and of each timeline; the others are the legend's signs.
    assert len(spoken) == 2 + 2 * len(FOUR)
    assert all(a["aria-label"] for _, a in spoken)
    assert all(a.get("aria-hidden") == "true" for a in plots if a.get("role") != "img")


def test_models_and_metrics_that_differ_get_plots_of_their_own():
    other = replace(FOUR[1], model="beer", decision=compared(FOUR[1], metric="f1"))
    html = render_report([FOUR[0], other])
    assert "beer: f1 over releases" in html
    assert "wine: accuracy over releases" in html
    assert "2 releases of 2 models, newest: beer untracked" in html


def with_loss(release: Release, challenger: float, reasons: tuple[str, ...] = ()) -> Release:
    loss = MetricComparison("log_loss", "lower", challenger, 0.2, None, 0.0, reasons)
    decision = replace(release.decision, comparisons=(*release.decision.comparisons, loss))
    return replace(release, decision=decision)


def test_each_metric_of_a_gate_has_its_plot_and_its_table_and_the_release_is_told_once():
    refused = replace(with_loss(FOUR[1], 0.3, ("loss is too high",)), verdict=Verdict.REFUSED)
    html = render_report([FOUR[0], refused, with_loss(FOUR[3], 0.15)])
    page = Page(html)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert (
        "“Grow more trees” reached accuracy 0.9340, where the champion had 0.9300; "
        "log_loss 0.1500, where the champion had 0.2000. From"
    ) in page.text
    assert page.text.count("accuracy over releases") == page.text.count("log_loss over releases") == 1
    assert page.text.count(f"{FOUR[3].release_id} What changed") == 1
    labels = page.attributes("aria-label", of="svg")
    assert "log_loss of each challenger, oldest first: 0202020 0.3000 (refused), 0404040 0.1500." in labels[2]
    assert "accuracy of each challenger, oldest first: 0101010 0.9310, 0202020 0.9320" in labels[0]
    told = page.text[page.text.index(f"{FOUR[1].release_id} What changed") :].split("Timeline")[0]
    first, second = told.split("Gate: ")[1:]
    assert "Decisionpassed" in first
    assert "Decisionrefusedloss is too high" in second
    assert "Other metrics" not in told


def test_what_decided_on_the_same_examples_is_in_the_table():
    decision = compared(FOUR[0], interval=Interval(-0.004, 0.001, 0.006, 0.95, 178))
    text = Page(render_report([replace(FOUR[0], decision=decision)])).text
    told = "+0.001 on 178 examples, with 95 % confidence -0.004 to +0.006; this decides"
    assert f"Evaluated+0.0010{told}" in text


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_explained(verdict: Verdict):
    text = Page(render_report([replace(FOUR[0], verdict=verdict)])).text
    name = verdict.replace("_", " ")
    assert f"1 release of wine, {name}" in text
    assert re.search(rf"{name} 1 of 1 [A-Z][a-z ,]{{15,}}", text)


def test_headline_tells_the_newest_verdict():
    assert headline(FOUR[::-1]) == "4 releases of wine, newest: untracked"
    assert headline([FOUR[2]]) == "1 release of wine, refused"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (0.04, "0.04 s"),
        (0.0949, "0.09 s"),
        (0.095, "0.1 s"),
        (3.21, "3.2 s"),
        (59.94, "59.9 s"),
        (59.95, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.5, "1 h 00 min"),
        (3780, "1 h 03 min"),
        (7199, "2 h 00 min"),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (48_301_112, "48.3 MB"),
        (7_000_000_000, "7.0 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_sizes_are_written_for_people(count: int, text: str):
    assert size(count) == text


def test_moments_are_shown_in_utc():
    berlin = timezone(timedelta(hours=2))
    assert utc(datetime(2025, 6, 2, 1, 30, 0, tzinfo=berlin)) == "2025-06-01 23:30:00 UTC"


def test_diff_lines_know_file_names_from_changes():
    second = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- old\n+++ new"
    kinds = [kind for kind, _ in diff_lines(DIFF + second)]
    first = ["meta"] * 3 + ["hunk", "same", "del", "add", "same"]
    assert kinds == [*first, "meta", "meta", "meta", "hunk", "del", "add"]
    assert "\n".join(line for _, line in diff_lines(DIFF)) + "\n" == DIFF


scores = st.floats(-1e4, 1e4).map(lambda value: round(value, 7))


@given(challenger=scores, limit=scores, champion=st.none() | scores)
def test_numbers_that_differ_are_never_written_alike(challenger, limit, champion):
    comparison = MetricComparison("m", "higher", challenger, champion, limit, 0.0, ())
    places = decimals(comparison)
    for rival in (limit, champion):
        if rival is not None and challenger != rival:
            assert f"{challenger:.{places}f}" != f"{rival:.{places}f}"


def test_what_binary_fractions_leave_is_not_written_out():
    assert decimals(MetricComparison("m", "higher", 0.1 + 0.2, 0.3, None, 0.0, ())) == 4

"""The release report: one HTML page that needs nothing but itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.release import GateDecision, MetricComparison, Release, Source, Verdict
from tasks.report.compared import Compared, compared, decimals
from tasks.report.plots import MetricPoint, TimelineBar, metric_plot, timeline_plot

if TYPE_CHECKING:
    from markupsafe import Markup

_WIDE, _NARROW = 720, 330  # pixels: on a desk or on paper, and on a phone

_MEANINGS = {
    Verdict.PROMOTED: "The new model did well beside the old one and serves all requests now.",
    Verdict.ROLLED_BACK: "The new model did not do well beside the old one; the old one serves again.",
    Verdict.SUPERSEDED: "A newer release took over before this one had been judged.",
    Verdict.PROMOTION_FAILED: "The new model was on its way to serve all requests when the rollout failed; "
    "somebody should look at the cluster.",
    Verdict.REFUSED: "The gate said no, or a person. Nothing was brought into the fleet; the champion stays.",
    Verdict.UNKNOWN: "The rollout was followed, but it gave no answer.",
    Verdict.UNTRACKED: "The new model was bumped in Git. No rollout was followed, so how it does in "
    "production is not known here.",
}
_TONES = {
    Verdict.PROMOTED: "good",
    Verdict.ROLLED_BACK: "bad",
    Verdict.PROMOTION_FAILED: "bad",
    Verdict.REFUSED: "bad",
}


@dataclass(frozen=True)
class _Plot:
    """The same plot for two widths; the style sheet shows one of them."""

    wide: "Markup"
    narrow: "Markup"


@dataclass(frozen=True)
class _Entry:
    """One release that was judged, as the page shows it; `number` counts from 1, the newest."""

    number: int
    release: Release
    source: Source
    subject: str
    began: datetime
    gate: tuple[Compared, ...]
    other_metrics: tuple[tuple[str, str], ...]
    timeline: _Plot | None


@dataclass(frozen=True)
class _Course:
    """The releases of one model that were judged by the same metric, newest first."""

    model: str
    metric: str
    better: str
    entries: tuple[tuple[_Entry, Compared], ...]
    plot: _Plot


def render_report(releases: Sequence[Release]) -> str:
    """A self-contained HTML page about `releases`, whatever order they come in.

    The page loads nothing, runs nothing, and is the same text for the same releases.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "size": size,
        "utc": utc,
        "diff_lines": diff_lines,
        "verdict": lambda verdict: verdict.replace("_", " "),
        "tone": lambda verdict: _TONES.get(verdict, "open"),
        "meaning": _MEANINGS.__getitem__,
    }
    newest_first = sorted(releases, key=lambda r: (_began(r), r.release_id), reverse=True)
    entries = tuple(_entries(newest_first))
    return environment.get_template("page.html.jinja").render(
        headline=headline(newest_first),
        releases=len(newest_first),
        entries=entries,
        untrained=[release for release in newest_first if release.decision is None],
        courses=tuple(_courses(entries)),
        tally=[(v, n) for v in Verdict if (n := sum(r.verdict is v for r in releases))],
    )


def headline(newest_first: Sequence[Release]) -> str:
    """What happened, in one line."""
    if not newest_first:
        return "No releases yet"
    count, models = len(newest_first), {release.model for release in newest_first}
    newest = newest_first[0]
    whose = newest.model if len(models) == 1 else f"{len(models)} models"
    which = "" if count == 1 else "newest: " if len(models) == 1 else f"newest: {newest.model} "
    verdict = newest.verdict.replace("_", " ")
    return f"{count} release{'s'[: count > 1]} of {whose}, {which}{verdict}"


def duration(seconds: float) -> str:
    """`0.04 s`, `3.2 s`, `2 min 05 s` or `1 h 03 min`."""
    if seconds < 0.095:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"


def size(count: int) -> str:
    """A number of bytes in decimal units: `812 bytes`, `48.3 MB`."""
    if count < 1000:
        return f"{count} byte{'s'[: count != 1]}"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        # 999.95 would be written as 1000.0.
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def utc(moment: datetime) -> str:
    """The moment in UTC with its date, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def diff_lines(diff: str) -> Iterator[tuple[str, str]]:
    """Each line of a unified diff with its kind: `meta`, `hunk`, `add`, `del` or `same`."""
    in_hunk = False
    for line in diff.removesuffix("\n").split("\n"):
        in_hunk = not line.startswith("diff ") and (in_hunk or line.startswith("@@"))
        if not in_hunk:
            # Before the first hunk, --- and +++ name files.
            yield "meta", line
        else:
            yield {"@": "hunk", "+": "add", "-": "del"}.get(line[:1], "same"), line


def _began(release: Release) -> datetime:
    committed = release.source.committed_at if release.source else datetime.min.replace(tzinfo=UTC)
    return min((span.started for span in release.timeline), default=committed)


def _entries(newest_first: Sequence[Release]) -> Iterator[_Entry]:
    places: dict[tuple[str, str, str], int] = {}
    for release in newest_first:
        for comparison in release.decision.comparisons if release.decision else ():
            key = _judged_by(release, comparison)
            places[key] = max(decimals(comparison), places.get(key, 0))
    for number, release in enumerate(newest_first, start=1):
        if release.source and release.decision:
            yield _entry(number, release, release.source, release.decision, places)


def _judged_by(release: Release, comparison: MetricComparison) -> tuple[str, str, str]:
    return release.model, comparison.metric, comparison.better


def _courses(newest_first: Sequence[_Entry]) -> Iterator[_Course]:
    members = [(entry, judged) for entry in newest_first for judged in entry.gate]

    def judged_by(member: tuple[_Entry, Compared]) -> tuple[str, str, str]:
        return _judged_by(member[0].release, member[1].comparison)

    for position, (key, group) in enumerate(groupby(sorted(members, key=judged_by), judged_by), start=1):
        entries = tuple(group)
        yield _Course(*key, entries, _metric_plots(entries, f"metric-{position}"))


def _entry(
    number: int,
    release: Release,
    source: Source,
    decision: GateDecision,
    places: Mapping[tuple[str, str, str], int],
) -> _Entry:
    gate = tuple(
        compared(comparison, decision.champion_image, places[_judged_by(release, comparison)])
        for comparison in decision.comparisons
    )
    judged = {comparison.metric for comparison in decision.comparisons}
    return _Entry(
        number=number,
        release=release,
        source=source,
        subject=source.subject.strip() or "(no subject)",
        began=_began(release),
        gate=gate,
        other_metrics=tuple((k, f"{v:.6g}") for k, v in release.metrics.items() if k not in judged),
        timeline=_timeline_plots(release, f"timeline-{number}") if release.timeline else None,
    )


def _metric_plots(newest_first: Sequence[tuple[_Entry, Compared]], name: str) -> _Plot:
    from markupsafe import Markup

    points = [_point(entry, judged) for entry, judged in reversed(newest_first)]
    metric = newest_first[0][1].comparison.metric
    described = ", ".join(f"{p.label} {p.text}{' (refused)' if p.refused else ''}" for p in points)
    description = f"{metric} of each challenger, oldest first: {described}. The table below has all values."
    wide, narrow = (
        # The plots' own text is escaped where they are written.
        Markup(metric_plot(points, name=f"{name}-{width}", description=description, width=width))  # noqa: S704
        for width in (_WIDE, _NARROW)
    )
    return _Plot(wide, narrow)


def _point(entry: _Entry, judged: Compared) -> MetricPoint:
    release, comparison = entry.release, judged.comparison
    attempt = release.release_id.rpartition("-")[2]
    return MetricPoint(
        label=entry.source.commit[:7] + ("" if attempt == "1" else f"-{attempt}"),
        text=judged.challenger,
        challenger=comparison.challenger,
        champion=comparison.champion,
        limit=comparison.limit,
        refused=release.verdict is Verdict.REFUSED,
    )


def _timeline_plots(release: Release, name: str) -> _Plot:
    from markupsafe import Markup

    began = _began(release)
    bars = [
        TimelineBar(s.step, (s.started - began).total_seconds(), s.seconds, duration(s.seconds))
        for s in release.timeline
    ]
    described = ", ".join(f"{bar.step} {bar.text}" for bar in bars)
    description = f"Steps of {release.release_id} and how long each took: {described}."
    wide, narrow = (
        Markup(timeline_plot(bars, name=f"{name}-{width}", description=description, width=width))  # noqa: S704
        for width in (_WIDE, _NARROW)
    )
    return _Plot(wide, narrow)

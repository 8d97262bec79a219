"""The release report: one HTML page that needs nothing but itself."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.release import GateDecision, Release, Source, Verdict
from tasks.report.plots import MetricPoint, TimelineBar, metric_plot, timeline_plot

if TYPE_CHECKING:
    from markupsafe import Markup

_WIDE, _NARROW = 720, 330  # pixels: on a desk or on paper, and on a phone
_MOST_DECIMALS = 8

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
class _GateRow:
    name: str
    value: str
    note: str
    image: str | None = None


@dataclass(frozen=True)
class _Entry:
    """One release that was judged, as the page shows it; `number` counts from 1, the newest."""

    number: int
    release: Release
    source: Source
    decision: GateDecision
    subject: str
    began: datetime
    challenger: str
    champion: str
    gate: tuple[_GateRow, ...]
    other_metrics: tuple[tuple[str, str], ...]
    timeline: _Plot | None


@dataclass(frozen=True)
class _Course:
    """The releases of one model that were judged by the same metric, newest first."""

    model: str
    metric: str
    better: str
    entries: tuple[_Entry, ...]
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
    courses = tuple(_courses(newest_first))
    return environment.get_template("page.html.jinja").render(
        headline=headline(newest_first),
        releases=len(newest_first),
        entries=sorted((e for course in courses for e in course.entries), key=lambda e: e.number),
        untrained=[release for release in newest_first if release.decision is None],
        courses=courses,
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


def decimals(decision: GateDecision) -> int:
    """How many decimals show the gate's numbers, and on which side of each other they lie."""
    rivals = [level for level in (decision.champion, decision.limit) if level is not None]
    largest = max(abs(number) for number in (decision.challenger, decision.tolerance, *rivals))
    gaps = [
        abs(decision.challenger - rival)
        for rival in rivals
        # Closer than this is what binary fractions leave, as in 0.1 + 0.2 - 0.3.
        if not math.isclose(decision.challenger, rival, rel_tol=1e-12)
    ]
    smallest = min(gaps + [decision.tolerance] * (decision.tolerance > 0), default=largest)
    wanted = max(3 - _exponent(largest), 1 - _exponent(smallest))
    return min(max(wanted, 0), _MOST_DECIMALS)


def _exponent(number: float) -> int:
    return math.floor(math.log10(number)) if number else 0


def _began(release: Release) -> datetime:
    committed = release.source.committed_at if release.source else datetime.min.replace(tzinfo=UTC)
    return min((span.started for span in release.timeline), default=committed)


def _courses(newest_first: Sequence[Release]) -> Iterator[_Course]:
    judged = [
        (number, release, release.source, release.decision)
        for number, release in enumerate(newest_first, start=1)
        if release.source and release.decision
    ]

    def judged_by(member: tuple[int, Release, Source, GateDecision]) -> tuple[str, str, str]:
        return member[1].model, member[3].metric, member[3].better

    for key, group in groupby(sorted(judged, key=judged_by), judged_by):
        members = list(group)
        places = max(decimals(decision) for *_, decision in members)
        entries = tuple(_entry(*member, places) for member in members)
        yield _Course(*key, entries, _metric_plots(entries))


def _entry(number: int, release: Release, source: Source, decision: GateDecision, places: int) -> _Entry:
    return _Entry(
        number=number,
        release=release,
        source=source,
        decision=decision,
        subject=source.subject.strip() or "(no subject)",
        began=_began(release),
        challenger=f"{decision.challenger:.{places}f}",
        champion="none" if decision.champion is None else f"{decision.champion:.{places}f}",
        gate=tuple(_gate_rows(decision, places)),
        other_metrics=tuple((k, f"{v:.6g}") for k, v in release.metrics.items() if k != decision.metric),
        timeline=_timeline_plots(release, f"timeline-{number}") if release.timeline else None,
    )


def _gate_rows(decision: GateDecision, places: int) -> Iterator[_GateRow]:
    def written(value: float | None) -> str:
        return "none" if value is None else f"{value:.{places}f}"

    yield _GateRow("Challenger", written(decision.challenger), "the model that this release trained")
    if decision.champion is None:
        unknown = decision.champion_image is not None
        note = "its metrics are not known here" if unknown else "no model to compare with yet"
        yield _GateRow("Champion", "unknown" if unknown else "none", note, decision.champion_image)
        yield _GateRow("Difference", "none", "nothing to compare with")
    else:
        difference = round(decision.challenger - decision.champion, places)
        sign = "+" if difference > 0 else "−" if difference < 0 else "±"  # noqa: RUF001 (a real minus sign)
        yield _GateRow(
            "Champion", written(decision.champion), "the model that served then", decision.champion_image
        )
        yield _GateRow("Difference", sign + written(abs(difference)), _compared(difference, decision.better))
    bound = "least" if decision.better == "higher" else "most"
    limit_note = "no limit is set" if decision.limit is None else f"the challenger must have at {bound} this"
    yield _GateRow("Fixed limit", written(decision.limit), limit_note)
    yield _GateRow(
        "Tolerance", written(decision.tolerance), "the challenger may be this much worse than the champion"
    )


def _compared(difference: float, better: str) -> str:
    if difference == 0:
        return "the challenger equals the champion"
    improved = (difference > 0) == (better == "higher")
    return f"the challenger is {'better' if improved else 'worse'} ({better} is better)"


def _metric_plots(newest_first: Sequence[_Entry]) -> _Plot:
    from markupsafe import Markup

    # No two plots share their newest release.
    name = f"metric-{newest_first[0].number}"
    entries = newest_first[::-1]
    points = [_point(entry) for entry in entries]
    metric = entries[0].decision.metric
    described = ", ".join(f"{p.label} {p.text}{' (refused)' if p.refused else ''}" for p in points)
    description = f"{metric} of each challenger, oldest first: {described}. The table below has all values."
    wide, narrow = (
        # The plots' own text is escaped where they are written.
        Markup(metric_plot(points, name=f"{name}-{width}", description=description, width=width))  # noqa: S704
        for width in (_WIDE, _NARROW)
    )
    return _Plot(wide, narrow)


def _point(entry: _Entry) -> MetricPoint:
    release, decision = entry.release, entry.decision
    attempt = release.release_id.rpartition("-")[2]
    return MetricPoint(
        label=entry.source.commit[:7] + ("" if attempt == "1" else f"-{attempt}"),
        text=entry.challenger,
        challenger=decision.challenger,
        champion=decision.champion,
        limit=decision.limit,
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

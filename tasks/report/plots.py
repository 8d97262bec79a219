"""The report's two plots, as inline SVG that takes its colours and fonts from the page."""

import io
import re
import threading
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that matplotlib draws with; each is exchanged for the page's own, which knows light, dark and print.
_INK, _MUTED, _RULE, _ACCENT, _BAD, _CARD = (f"#{n:02x}{n:02x}{n:02x}" for n in range(1, 7))
_PAINT = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _RULE: "var(--rule)",
    _ACCENT: "var(--accent)",
    _BAD: "var(--bad)",
    _CARD: "var(--card)",
}
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "modelflight",
    "text.parse_math": False,
    "font.size": 12,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _RULE,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 8,
    "ytick.major.pad": 8,
    "grid.color": _RULE,
    "grid.linewidth": 1,
}
_CHARACTER = 7.0  # pixels that one character of 12-pixel text takes at most, on average
_LINE = 15.0  # pixels between two labels that shall not touch
_ROW = 28  # pixels of one step in the timeline

_one_at_a_time = threading.Lock()  # matplotlib's settings belong to the whole process


@dataclass(frozen=True)
class MetricPoint:
    """One release in the metric plot; `text` is the challenger's value as the page writes it."""

    label: str
    text: str
    challenger: float
    champion: float | None
    limit: float | None
    refused: bool


@dataclass(frozen=True)
class TimelineBar:
    """One step in the timeline: begins `after` seconds, lasts `seconds`; `text` is that duration in words."""

    step: str
    after: float
    seconds: float
    text: str


def metric_plot(points: Sequence[MetricPoint], *, name: str, description: str, width: int) -> str:
    """The metric over releases, oldest on the left, as an `<svg>` element `width` pixels wide.

    Args:
        points: At least one, oldest first.
        name: Prefix of every id in the SVG; must be unique in the page.
        description: What a screen reader says in place of the plot.
        width: Width in pixels that the text sizes are chosen for.
    """
    with _matplotlib_settings():
        left, right, top = 58, 84, 22
        upright = len(points) * 8 * _CHARACTER > width - left - right
        bottom = 78 if upright else 34
        figure, axes = _canvas(width, 190 + top + bottom, (left, right, top, bottom))
        _draw_frame(axes, points)
        _draw_levels(axes, points)
        _draw_challengers(axes, points, every_value=not upright)
        _label_releases(axes, points, width - left - right, upright=upright)
        return _svg(figure, name, description)


def timeline_plot(bars: Sequence[TimelineBar], *, name: str, description: str, width: int) -> str:
    """The steps of one release against the clock, first step on top, as an `<svg>` element.

    Args:
        bars: At least one, in the order in which they are drawn.
        name: Prefix of every id in the SVG; must be unique in the page.
        description: What a screen reader says in place of the plot.
        width: Width in pixels that the text sizes are chosen for.
    """
    with _matplotlib_settings():
        left = min(max(len(bar.step) for bar in bars) * _CHARACTER + 12, width * 0.46)
        right = max(len(bar.text) for bar in bars) * _CHARACTER + 14
        figure, axes = _canvas(width, len(bars) * _ROW + 60, (left, right, 6, 54))
        end = max(bar.after + bar.seconds for bar in bars) or 1.0
        unit, unit_name = _clock_unit(end)
        _draw_bars(axes, bars, unit, shortest=end * 4 / (width - left - right))
        _write_durations(axes, bars, column=right - 2)
        axes.set_yticks(range(len(bars)), [_shortened(bar.step, left - 12) for bar in bars], color=_INK)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlim(0, end / unit * 1.02)
        axes.locator_params(axis="x", nbins=max(2, int(width / 110)))
        axes.set_xlabel(f"{unit_name} since the release began", labelpad=8)
        axes.grid(axis="x")
        axes.spines[:].set_visible(False)
        return _svg(figure, name, description)


@contextmanager
def _matplotlib_settings() -> Iterator[None]:
    """Matplotlib's defaults plus the report's: a reader's own matplotlibrc must not change the page."""
    import matplotlib

    with _one_at_a_time, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def _canvas(
    width: float, height: float, margins: tuple[float, float, float, float]
) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    left, right, top, bottom = margins
    # At 72 dots per inch a point is a pixel, so that every size here is in pixels.
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, facecolor="none")
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    return figure, figure.add_axes(box)


def _draw_frame(axes: "Axes", points: Sequence[MetricPoint]) -> None:
    values = [p.challenger for p in points]
    values += [level for p in points for level in (p.champion, p.limit) if level is not None]
    low, high = min(values), max(values)
    room = (high - low) * 0.16 or abs(high) * 0.05 or 1.0
    axes.set_ylim(low - room, high + room)
    axes.set_xlim(-0.5, len(points) - 0.5)
    axes.locator_params(axis="y", nbins=5)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y")
    axes.spines[["left", "right", "top"]].set_visible(False)


def _draw_levels(axes: "Axes", points: Sequence[MetricPoint]) -> None:
    """The champion and the fixed limit, each drawn across the slots of the releases held against it."""
    champions = [p.champion for p in points]
    limits = [p.limit for p in points]
    _draw_steps(axes, champions, color=_MUTED, linestyle="solid", linewidth=2)
    _draw_steps(axes, limits, color=_INK, linestyle=(0, (5, 4)), linewidth=1.3)
    named = [("champion", _last(champions)), ("limit", _last(limits))]
    levels = sorted((level, text) for text, level in named if level is not None)
    above: float | None = None
    for level, text in levels:
        y = float(axes.transData.transform((0, level))[1])
        # Two lines that run close together would have their names on top of each other.
        y = y if above is None else max(y, above + _LINE)
        above = y
        at = float(axes.transAxes.inverted().transform((0, y))[1])
        label = f"limit {level:.4g}" if text == "limit" else text
        axes.text(1.015, at, label, transform=axes.transAxes, va="center", color=_INK)


def _draw_steps(axes: "Axes", levels: Sequence[float | None], **line: Any) -> None:
    edges = [index - 0.5 for index in range(len(levels) + 1)]
    heights = [float("nan") if level is None else level for level in levels]
    axes.stairs(heights, edges, baseline=None, **line)


def _draw_challengers(axes: "Axes", points: Sequence[MetricPoint], *, every_value: bool) -> None:
    # A cross against a filled dot: the shape tells them apart where colour does not.
    dot: Any = {"marker": "o", "markersize": 10, "color": _ACCENT, "markeredgecolor": _CARD}
    cross: Any = {"marker": "x", "markersize": 9, "color": _BAD, "markeredgewidth": 2.5}
    for x, point in enumerate(points):
        axes.plot([x], [point.challenger], clip_on=False, zorder=3, **(cross if point.refused else dot))
    for x, point in enumerate(points) if every_value else [(len(points) - 1, points[-1])]:
        # On the side away from the champion's line.
        below = point.champion is not None and point.challenger < point.champion
        axes.annotate(
            point.text,
            (x, point.challenger),
            xytext=(0, -9 if below else 9),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            zorder=4,
            annotation_clip=False,
        )


def _label_releases(axes: "Axes", points: Sequence[MetricPoint], room: float, *, upright: bool) -> None:
    every = -(-len(points) * 16 // int(room)) if upright else 1
    # Counted from the right, so that the newest release always has its name.
    shown = range(len(points) - 1, -1, -every)
    labels = [points[index].label for index in shown]
    axes.set_xticks(list(shown), labels, rotation=90 if upright else 0, family="monospace")


def _draw_bars(axes: "Axes", bars: Sequence[TimelineBar], unit: float, *, shortest: float) -> None:
    # A step that took no time to speak of still has to be seen.
    widths = [max(bar.seconds, shortest) / unit for bar in bars]
    axes.barh(range(len(bars)), widths, left=[bar.after / unit for bar in bars], height=0.5, color=_ACCENT)


def _write_durations(axes: "Axes", bars: Sequence[TimelineBar], column: float) -> None:
    for row, bar in enumerate(bars):
        axes.annotate(
            bar.text,
            (1, row),
            xycoords=axes.get_yaxis_transform(),
            xytext=(column, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            annotation_clip=False,
        )


def _clock_unit(seconds: float) -> tuple[float, str]:
    if seconds < 600:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 36000 else (3600.0, "hours")


def _shortened(text: str, room: float) -> str:
    # Control characters may not stand in XML, and a label has one line.
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    most = max(2, int(room / _CHARACTER))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _last(levels: Sequence[float | None]) -> float | None:
    return next((level for level in reversed(levels) if level is not None), None)


def _svg(figure: "Figure", name: str, description: str) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    written = io.BytesIO()
    with warnings.catch_warnings():
        # The reader's browser has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        FigureCanvasSVG(figure).print_svg(written)  # type: ignore[no-untyped-call]
    return _inlined(written.getvalue(), name, description)


def _inlined(document: bytes, name: str, description: str) -> str:
    """The SVG document as an element of an HTML page: no namespaces, no metadata, ids that are its own."""
    root = ET.fromstring(document)  # noqa: S314 (matplotlib wrote it a moment ago)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {
            key.rpartition("}")[2]: _adapted(key, value, name) for key, value in element.attrib.items()
        }
    box = root.attrib["viewBox"]
    width = box.split()[2]
    root.attrib = {"viewBox": box, "role": "img", "aria-label": description, "style": f"max-width: {width}px"}
    return ET.tostring(root, encoding="unicode")


def _adapted(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "style":
        value = re.sub(r"font-family: [^;]*Mono[^;]*", "font-family: var(--mono)", value)
        value = re.sub(r"font-family: '[^;]*;? ?", "", value)
        return re.sub("|".join(_PAINT), lambda colour: _PAINT[colour[0]], value)
    if key.endswith("href"):
        return value.replace("#", f"#{name}-")
    return value.replace("url(#", f"url(#{name}-")

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from tasks.report.plots import MetricPoint, TimelineBar, metric_plot, timeline_plot


def point(value: float, **changes) -> MetricPoint:
    values = {"label": "a1b2c3d", "text": f"{value:.3f}", "champion": 0.93, "limit": 0.9, "refused": False}
    return MetricPoint(challenger=value, **(values | changes))


def metric(*points: MetricPoint, width: int = 720) -> ET.Element:
    return ET.fromstring(metric_plot(points, name="m", description="the metric", width=width))


def timeline(*bars: TimelineBar, width: int = 720) -> ET.Element:
    return ET.fromstring(timeline_plot(bars, name="t", description="the steps", width=width))


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter("text")]


def bar_widths(svg: ET.Element) -> list[float]:
    filled = [p for p in svg.iter("path") if "fill: var(--accent)" in p.get("style", "")]
    corners = [[float(x) for x in re.findall(r"[ML] (\S+)", p.get("d", ""))] for p in filled]
    return [max(xs) - min(xs) for xs in corners]


def dashed_levels(svg: ET.Element) -> list[str]:
    return [p.get("d", "") for p in svg.iter("path") if "stroke-dasharray" in p.get("style", "")]


PLOTS = {
    "metric": metric(point(0.95), point(0.88, refused=True)),
    "timeline": timeline(TimelineBar("gate", 0, 1, "1.0 s")),
}


@pytest.mark.parametrize("svg", PLOTS.values(), ids=PLOTS)
def test_colours_and_fonts_come_from_the_page(svg: ET.Element):
    styles = " ".join(element.get("style", "") for element in svg.iter())
    assert "var(--accent)" in styles
    assert not re.search(r"#[0-9a-f]{3}", styles)
    assert "DejaVu" not in styles
    for text in svg.iter("text"):
        assert "fill: var(--" in text.get("style", "")


@pytest.mark.parametrize("svg", PLOTS.values(), ids=PLOTS)
def test_plot_is_an_image_with_words_and_without_metadata(svg: ET.Element):
    assert svg.get("role") == "img"
    assert svg.get("aria-label", "").startswith("the ")
    assert svg.get("viewBox", "").startswith("0 0 720 ")
    assert not {"metadata", "style"} & {element.tag for element in svg.iter()}
    assert "http" not in ET.tostring(svg, encoding="unicode")


def test_ids_carry_the_name_and_references_follow():
    svg = metric(point(0.95))
    ids = {element.get("id") for element in svg.iter() if element.get("id")}
    assert all(name.startswith("m-") for name in ids)
    used = {element.get("href", "")[1:] for element in svg.iter("use")}
    assert used
    assert used <= ids


def test_challengers_are_labelled_with_commit_and_value():
    shown = texts(metric(point(0.95, label="aaaaaaa"), point(0.88, label="bbbbbbb", refused=True)))
    assert {"aaaaaaa", "bbbbbbb", "0.950", "0.880", "champion", "limit 0.9"} <= set(shown)


def test_refused_challenger_has_a_shape_of_its_own():
    def shapes(*points: MetricPoint) -> list[str]:
        return [p.get("d", "") for p in metric(*points).iter("path") if p.get("id", "").startswith("m-m")]

    (dot,), (cross,) = shapes(point(0.88)), shapes(point(0.88, refused=True))
    assert dot.count("C") == 8
    assert cross.count("C") == 0
    assert shapes(point(0.95), point(0.88, refused=True)) == [dot, cross]


def test_limit_is_a_dashed_line_only_where_there_is_one():
    assert len(dashed_levels(metric(point(0.95), point(0.96)))) == 1
    without = metric(point(0.95, limit=None), point(0.96, limit=None))
    assert not any(re.findall(r"M", path) for path in dashed_levels(without))
    assert not any(text.startswith("limit") for text in texts(without))


def test_first_release_without_a_champion_has_no_champion_line():
    assert "champion" not in texts(metric(point(0.95, champion=None)))


def test_many_releases_keep_their_names_apart_and_name_the_newest():
    svg = metric(*(point(0.9 + n / 1000, label=f"{n:07x}") for n in range(200)), width=330)
    labels = [text for text in svg.iter("text") if re.fullmatch("[0-9a-f]{7}", text.text or "")]
    assert f"{199:07x}" in {label.text for label in labels}
    places = sorted(float(re.findall(r"translate\((\S+)", label.get("transform", ""))[0]) for label in labels)
    assert len(places) > 5
    assert all(right - left > 12 for left, right in pairwise(places))


def test_names_of_lines_that_run_together_do_not_touch():
    svg = metric(point(0.95, champion=0.9001, limit=0.9))
    y = [float(t.get("y", "")) for t in svg.iter("text") if t.text in ("champion", "limit 0.9")]
    assert abs(y[0] - y[1]) >= 14.9


def test_equal_values_still_give_a_plot():
    assert "0.000" in texts(metric(point(0.0, champion=0.0, limit=0.0)))


def test_bars_are_as_long_as_their_steps_and_short_ones_still_seen():
    svg = timeline(
        TimelineBar("long", 0, 100, "1 min 40 s"),
        TimelineBar("half", 100, 50, "50.0 s"),
        TimelineBar("short", 150, 0, "0.00 s"),
    )
    long, half, short = bar_widths(svg)
    assert long == pytest.approx(2 * half, rel=1e-3)
    assert 3 <= short <= 5


def test_steps_that_took_no_time_at_all_still_give_a_plot():
    assert texts(timeline(TimelineBar("gate", 0, 0, "0.00 s")))[-1] == "0.00 s"


@pytest.mark.parametrize(("seconds", "unit"), [(599, "seconds"), (600, "minutes"), (36000, "hours")])
def test_clock_counts_in_a_unit_that_fits(seconds: float, unit: str):
    assert f"{unit} since the release began" in texts(timeline(TimelineBar("run", 0, seconds, "long")))


def test_step_names_of_any_script_and_length_are_written():
    svg = timeline(
        TimelineBar("训练 <b>\x00$x$\n", 0, 1, "1.0 s"), TimelineBar("x" * 200, 1, 1, "1.0 s"), width=330
    )
    assert "训练 <b> $x$ " in texts(svg)
    (cut,) = [text for text in texts(svg) if text.startswith("xxx")]
    assert cut.endswith("x…")
    assert len(cut) < 25

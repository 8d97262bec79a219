"""One metric of a release, held against limit and champion, as the report writes it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.release import MetricComparison

_MOST_DECIMALS = 8


@dataclass(frozen=True)
class Row:
    """A line of the gate's table; `image` is a reference that stands below the note."""

    name: str
    value: str
    note: str
    image: str | None = None


@dataclass(frozen=True)
class Compared:
    """One metric of a release; `challenger` and `champion` as the page writes them."""

    comparison: MetricComparison
    challenger: str
    champion: str
    rows: tuple[Row, ...]


def compared(comparison: MetricComparison, champion_image: str | None, places: int) -> Compared:
    """The comparison, written with `places` decimals."""
    champion = comparison.champion
    return Compared(
        comparison,
        challenger=f"{comparison.challenger:.{places}f}",
        champion="none" if champion is None else f"{champion:.{places}f}",
        rows=tuple(_rows(comparison, champion_image, places)),
    )


def decimals(comparison: MetricComparison) -> int:
    """How many decimals show the gate's numbers, and on which side of each other they lie."""
    rivals = [level for level in (comparison.champion, comparison.limit) if level is not None]
    largest = max(abs(number) for number in (comparison.challenger, comparison.tolerance, *rivals))
    gaps = [
        abs(comparison.challenger - rival)
        for rival in rivals
        # Closer than this is what binary fractions leave, as in 0.1 + 0.2 - 0.3.
        if not math.isclose(comparison.challenger, rival, rel_tol=1e-12)
    ]
    smallest = min(gaps + [comparison.tolerance] * (comparison.tolerance > 0), default=largest)
    wanted = max(3 - _exponent(largest), 1 - _exponent(smallest))
    return min(max(wanted, 0), _MOST_DECIMALS)


def _exponent(number: float) -> int:
    return math.floor(math.log10(number)) if number else 0


def _rows(comparison: MetricComparison, champion_image: str | None, places: int) -> Iterator[Row]:
    def written(value: float | None) -> str:
        return "none" if value is None else f"{value:.{places}f}"

    yield Row("Challenger", written(comparison.challenger), "the model that this release trained")
    if comparison.champion is None:
        unknown = champion_image is not None
        note = "its metrics are not known here" if unknown else "no model to compare with yet"
        yield Row("Champion", "unknown" if unknown else "none", note, champion_image)
        yield Row("Difference", "none", "nothing to compare with")
    else:
        difference = round(comparison.challenger - comparison.champion, places)
        sign = "+" if difference > 0 else "−" if difference < 0 else "±"  # noqa: RUF001 (a real minus sign)
        yield Row("Champion", written(comparison.champion), "the model that served then", champion_image)
        yield Row("Difference", sign + written(abs(difference)), _in_words(difference, comparison.better))
    if interval := comparison.interval:
        yield Row("Evaluated", f"{interval.mean:+.{places}f}", f"{interval.told}; this decides")
    bound = "least" if comparison.better == "higher" else "most"
    limit_note = (
        "no limit is set" if comparison.limit is None else f"the challenger must have at {bound} this"
    )
    yield Row("Fixed limit", written(comparison.limit), limit_note)
    yield Row(
        "Tolerance", written(comparison.tolerance), "the challenger may be this much worse than the champion"
    )


def _in_words(difference: float, better: str) -> str:
    if difference == 0:
        return "the challenger equals the champion"
    improved = (difference > 0) == (better == "higher")
    return f"the challenger is {'better' if improved else 'worse'} ({better} is better)"

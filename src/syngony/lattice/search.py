"""The search: lattices from cubic to triclinic, best first, within a time budget."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from syngony.lattice import kernels
from syngony.lattice.candidates import Candidate, Judge
from syngony.lattice.comparison import same_lattice
from syngony.lattice.layers import MOST_ACROSS, MOST_ALONG, triclinic_trials
from syngony.lattice.predicted import (
    CUBIC,
    HEXAGONAL,
    LAUE_ORDER,
    MONOCLINIC,
    ORTHORHOMBIC,
    PARAMETERS,
    TETRAGONAL,
    TRICLINIC,
)
from syngony.lattice.selections import MOST_LINES, trial_selections
from syngony.lattice.trials import (
    Observed,
    Pool,
    Work,
    cubic_trials,
    new_pool,
    new_work,
    orthorhombic_trials,
    uniaxial_trials,
)
from syngony.lattice.zones import monoclinic_trials, rectangle_trials, rectangles, zones

Clock = Callable[[], float]
Round = tuple[float, Observed, NDArray[np.float64]]
"""Zero shift, lines, zones."""

MOST_JUDGED = 40
"""Lines of lowest angle, weak ones too, that decide between lattices."""

_WIDER = (1.6, 1.25, 1.0)  # oblique cells start from the errors of many lines
_MOST_PREDICTED = (16.0, 9.0, 12.0, 14.0, 18.0, 10.0)
"""Lines that a trial of each symmetry may predict for each that is seen; trials know no centring, which hides up to
three quarters."""

_UNEXPLAINED = (0.45, 0.4, 0.4, 0.3, 0.25, 0.25)
"""Share of the lines, by weight, that a trial of each symmetry may leave unexplained: chance explains little
where parameters are few."""

_ORDER = ((CUBIC, TETRAGONAL, HEXAGONAL), (ORTHORHOMBIC,), (MONOCLINIC,), (TRICLINIC,))
_SHARES = (0.25, 0.4, 0.8, 1.0)
"""Of the time budget, by when each of these must end: a short budget is not spent on high symmetries alone."""

_ZONE_PASSES, _ZONES_A_PORTION = ((0, 32), (32, 96), (96, 400)), 8
_MOST_BASIS_LINES, _MOST_ZONES = 14, 400
_LIKELIEST_SHIFTS = 7
_HARDLY_SHIFTED = 0.02  # degrees
_NEARLY_ALL = 0.98  # of the lines, by weight
_CERTAIN = 2.5  # log odds a line: no other lattice of that symmetry will do better
_STAGES = (10, 18, MOST_LINES)


@dataclass(frozen=True)
class SearchSettings:
    """How wide and how long to search.

    Attributes:
        time_budget: seconds; the best cells found by then are returned. None is no limit.
        clock: tells the seconds: ``time.perf_counter``, or ``time.thread_time`` (of the processor), by which an answer
            does not depend on what else the machine does.
        max_volume, min_volume: Å^3, of the primitive cell.
        max_axis: Å, of the reduced cell.
        zero_spread: standard deviation of the zero shift, degrees; 0 for lines that have none.
        certain: share of the lines, by weight, that a cell beyond doubt explains.
        systems: metric symmetries to try.
    """

    time_budget: float | None = 30.0
    clock: Clock = time.perf_counter
    min_volume: float = 8.0
    max_volume: float = 4000.0
    max_axis: float = 60.0
    zero_spread: float = 0.06
    certain: float = 0.93
    systems: tuple[int, ...] = (CUBIC, TETRAGONAL, HEXAGONAL, ORTHORHOMBIC, MONOCLINIC, TRICLINIC)

    def allow(self, candidate: Candidate) -> bool:
        """Whether a lattice is within the limits."""
        volume = math.sqrt(max(0.0, float(np.linalg.det(candidate.metric))))
        return volume <= self.max_volume and float(candidate.metric.max()) <= self.max_axis**2


@dataclass
class _State:
    judge: Judge
    settings: SearchSettings
    deadline: float
    found: list[Candidate] = field(default_factory=list)
    enlarged: list[Candidate] = field(default_factory=list)
    ready: int = field(default_factory=kernels.ready)
    looked: float = -math.inf
    lost: float = 0.0
    starts: set[tuple[int, float]] = field(default_factory=set)

    def is_enlarged(self, candidate: Candidate) -> bool:
        """Whether the multiples of a lattice have been tried, which is noted."""
        known = any(candidate is other for other in self.enlarged)
        self.enlarged.append(candidate)
        return known

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline has passed. Time in which functions were loaded or compiled is not the search's."""
        now, ready = self.settings.clock(), kernels.ready()
        if ready != self.ready:
            self.lost += now - self.looked
        self.ready, self.looked = ready, now
        return now - self.lost > self.deadline


def search(
    two_theta: NDArray[np.float64],
    wavelength: float,
    uncertainty: NDArray[np.float64],
    weight: NDArray[np.float64],
    stray: NDArray[np.float64],
    settings: SearchSettings,
) -> list[Candidate]:
    """Lattices that may explain lines, refined and scored, in no order and some of them twice.

    Args:
        two_theta: (n,) degrees, increasing.
        wavelength: Å.
        uncertainty: (n,) standard uncertainties of two_theta, degrees.
        weight: (n,) how much each line counts in what may stay unexplained.
        stray: (n,) prior probability that a line belongs to something else.
        settings: limits.
    """
    began = settings.clock()
    budget = settings.time_budget if settings.time_budget is not None else math.inf
    n = min(len(two_theta), MOST_JUDGED)
    judge = judge_of(two_theta[:n], wavelength, uncertainty[:n], weight[:n], stray[:n], settings)
    state = _State(judge, settings, began + budget, looked=began)
    selections = trial_selections(stray)
    sure = selections[0]

    def observed(chosen: NDArray[np.int64], zero: float, roam: float) -> Observed:
        about = wavelength, uncertainty[chosen], weight[chosen], stray[chosen]
        return observe(two_theta[chosen] - zero, *about, roam)

    likely: list[Round] = []
    for systems, share in zip(_ORDER, _SHARES, strict=True):
        state.deadline = began + share * budget
        wanted = [x for x in systems if x in settings.systems and len(sure) > PARAMETERS[x]]
        if not wanted:
            continue
        oblique = wanted[0] in (MONOCLINIC, TRICLINIC)
        if oblique and not likely:
            shifts = _shifts(settings, True)
            likely = _likeliest_shifts([(zero, observed(sure, zero, roam)) for zero, roam in shifts], state)
            for low in (x for x in selections[1:] if len(x) > len(sure) or x[0] < sure[0]):
                best = [zero for zero, _, _ in likely]
                again = [(zero, observed(low, zero, roam)) for zero, roam in shifts if zero in best]
                likely = _in_turns(likely, _likeliest_shifts(again, state))
        rounds: Iterator[tuple[float, Observed, NDArray[np.float64] | None]]
        if oblique:
            rounds = _oblique_rounds(wanted[0], likely)
        else:
            rounds = (
                (zero, observed(x, zero, roam), None) for zero, roam in _shifts(settings, False) for x in selections
            )
        for zero, seen, some_zones in rounds:
            work = new_work(seen, _STAGES, _WIDER if oblique else (1.0, 1.0, 1.0))
            for symmetry in wanted:
                _harvest(state, symmetry, _run(symmetry, seen, work, state, some_zones), zero)
                if symmetry == CUBIC and beyond_doubt(state.found, judge, settings.certain):
                    return state.found
                if state.out_of_time:
                    break
            if beyond_doubt(state.found, judge, settings.certain):
                return state.found
            if state.out_of_time:
                break
    return state.found


def _shifts(settings: SearchSettings, oblique: bool) -> list[tuple[float, float]]:
    """(zero shift to try, how far the true one may be from it), degrees.

    Large cells have dense lines, among which a wide reach finds anything.
    """
    if settings.zero_spread == 0:
        return [(0.0, 0.0)]
    if settings.zero_spread <= _HARDLY_SHIFTED:
        return [(0.0, 0.012)] if oblique else [(0.0, 0.008), (0.0, 0.02)]
    grid = [0.025 * step for step in range(-6, 7)] if oblique else [0.0, 0.05, -0.05, 0.1, -0.1, 0.15, -0.15]
    return [(zero, 0.008 if oblique else 0.018) for zero in grid]


def _likeliest_shifts(shifts: list[tuple[float, Observed]], state: _State, best: int = 20) -> list[Round]:
    """The shifts whose best zones explain the lines best, with their zones: a wrong zero shift spoils all zones."""
    with_zones: list[Round] = []
    for zero, seen in sorted(shifts, key=lambda shift: abs(shift[0])):
        if not (with_zones and state.out_of_time):
            with_zones.append((zero, seen, zones(seen, _basis_lines(seen), _PLANE_ANGLES, _MOST_ZONES)))
    with_zones.sort(key=lambda shift: -float(shift[2][:best, 3].mean()) if len(shift[2]) else 0.0)
    return with_zones[:_LIKELIEST_SHIFTS]


def _in_turns(one: list[Round], other: list[Round]) -> list[Round]:
    """Two lists of rounds, of each in turn."""
    both = [pair for pairs in zip(one, other, strict=False) for pair in pairs]
    return [*both, *one[len(other) :], *other[len(one) :]]


def _oblique_rounds(symmetry: int, likely: list[Round]) -> Iterator[tuple[float, Observed, NDArray[np.float64]]]:
    """(zero shift, lines, zones): the best zones of every shift, then the others."""
    every: dict[int, NDArray[np.float64]] = {}
    for start, end in _ZONE_PASSES:
        for place, (zero, seen, normal) in enumerate(likely):
            if place not in every:
                every[place] = normal if symmetry == TRICLINIC else _planes(seen, normal)
            if start < len(every[place]):
                yield zero, seen, every[place][start:end]


def _planes(seen: Observed, normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zones normal to the unique axis of a monoclinic lattice, and zones that hold it, in turns."""
    holding = rectangles(seen, _basis_lines(seen), _RECTANGLE_SQUARES)
    both = min(len(normal), len(holding))
    turns = np.stack([normal[:both], holding[:both]], axis=1).reshape(-1, 4)
    return np.concatenate([turns, normal[both:], holding[both:]])


def _basis_lines(seen: Observed) -> int:
    return min(len(seen.q), _MOST_BASIS_LINES)


def judge_of(two_theta, wavelength, uncertainty, weight, stray, settings: SearchSettings) -> Judge:
    """A judge of lattices by these lines."""
    observed = observe(two_theta, wavelength, uncertainty, weight, stray, 0.01)
    resolution = 0.5 * float(np.median(observed.sigma / np.sqrt(observed.q)))
    return Judge(two_theta, wavelength, observed, settings.zero_spread, resolution)


def observe(two_theta, wavelength, uncertainty, weight, stray, roam) -> Observed:
    """Lines for the compiled functions; `roam` degrees are added to how far off a match may be."""
    weight = weight / weight.sum()
    radians = np.radians(two_theta)
    q = (2.0 * np.sin(radians / 2) / wavelength) ** 2
    slope = np.radians(2.0 * np.sin(radians) / wavelength**2)
    reach = slope * 3.0 * np.hypot(uncertainty, roam)
    return Observed(q, slope * uncertainty, slope, reach, stray, weight)


def _harvest(state: _State, symmetry: int, pool: Pool, zero: float, most: int = 8) -> None:
    """Refine the best of a pool, with all Bravais lattices near them."""
    order = np.argsort(pool.score)[::-1]
    best = max((c.log_odds for c in state.found), default=-math.inf)
    for number, place in enumerate(order[:most]):
        # Scores of trials know no zero shift: a few are judged however low they are.
        hopeless = pool.score[place] < max(best, pool.score[order[0]]) - 25 and number >= 3
        late = state.out_of_time and number > 0
        if not math.isfinite(pool.score[place]) or hopeless or late:
            break
        family = [
            candidate
            for candidate in state.judge.family(symmetry, pool.parameters[place], zero, state.starts)
            if state.settings.allow(candidate)
        ]
        state.found += family
        best = max([best, *(c.log_odds for c in family)])
    while state.found and not math.isinf(best) and not state.out_of_time:
        first = max(state.found, key=lambda c: c.log_odds)
        if first.log_odds <= 0 or state.is_enlarged(first):
            break
        state.found += [c for c in state.judge.enlarged(first) if state.settings.allow(c)]


def ranked(found: list[Candidate], most: int = 20) -> list[Candidate]:
    """Best first, each lattice once."""
    kept: list[Candidate] = []
    for candidate in sorted(found, key=_rank):
        if len(kept) == most:
            break
        if not any(same_lattice(candidate.metric, other.metric, 0.005, 0.5) for other in kept):
            kept.append(candidate)
    return kept


def _rank(candidate: Candidate) -> float:
    """Log odds; of cells that a few lines cannot tell apart the smaller one first."""
    return -candidate.log_odds + 0.05 * math.log(float(np.linalg.det(candidate.metric)))


def beyond_doubt(found: list[Candidate], judge: Judge, certain: float) -> bool:
    """Whether the best lattice leaves nothing to look for among lattices of lower symmetry."""
    if not found:
        return False
    best = max(found, key=lambda c: c.log_odds)
    lines = len(best.error)
    explained = float(judge.observed.weight[best.indexed].sum())
    sure = 1.0 if explained >= _NEARLY_ALL else 1.5  # log odds a line
    return bool(lines >= 10 and explained >= certain and best.log_odds > sure * lines and best.predicted < 3 * lines)


def _run(
    symmetry: int, observed: Observed, work: Work, state: _State, some_zones: NDArray[np.float64] | None = None
) -> Pool:
    """All trials of one metric symmetry."""
    pool = new_pool()
    least, most = _volume_limits(symmetry, observed, state.settings)
    for trials in _portions(symmetry, observed, work, pool, least, most, _UNEXPLAINED[symmetry], some_zones):
        if state.out_of_time or pool.score.max() > _CERTAIN * len(observed.q):
            break
        trials()
    return pool


def _volume_limits(symmetry: int, observed: Observed, settings: SearchSettings) -> tuple[float, float]:
    """Smallest and largest determinant of the reciprocal metric that a trial may have."""
    n = len(observed.q)
    per_volume = 4.0 / 3.0 * math.pi * observed.q[-1] ** 1.5 / LAUE_ORDER[symmetry]
    fill = _MOST_PREDICTED[symmetry]
    centred = 4.0 if symmetry <= ORTHORHOMBIC else 2.0
    largest = min(settings.max_volume * (centred if symmetry != TRICLINIC else 1.0), fill * n / per_volume)
    smallest = max(settings.min_volume, 0.25 * n / per_volume)
    return 1.0 / largest**2, 1.0 / smallest**2


def _portions(symmetry, observed, work, pool, least, most, unexplained, some_zones) -> Iterator[Callable[[], None]]:
    """The trials of one symmetry in portions of some milliseconds, the likeliest first."""
    n = len(observed.q)
    rest = (observed, work, pool, least, most, unexplained)
    if symmetry == CUBIC:
        for first in range(min(n, 6)):
            yield partial(cubic_trials, first, *rest, _SUMS_OF_SQUARES)
    elif symmetry in (TETRAGONAL, HEXAGONAL):
        for first in range(min(n, 6)):
            yield partial(uniaxial_trials, symmetry, first, min(n, 10), *rest, _PAIRS[symmetry])
    elif symmetry == ORTHORHOMBIC:
        for second, first in _pairs(min(n, 7)):
            for squares in (_SQUARES, _SQUARES_F):
                yield partial(orthorhombic_trials, first, second, min(n, 9), *rest, squares)
    else:
        for start in range(0, len(some_zones), _ZONES_A_PORTION):
            yield partial(_oblique_trials, symmetry, some_zones[start : start + _ZONES_A_PORTION], rest)


def _oblique_trials(symmetry, some_zones, rest) -> None:
    for zone in some_zones:
        if symmetry == MONOCLINIC and zone[2] == 0:
            rectangle_trials(zone, *rest, _OUTSIDE)  # type: ignore[call-arg]
        elif symmetry == MONOCLINIC:
            monoclinic_trials(zone, *rest, _FORMS)  # type: ignore[call-arg]
        else:
            triclinic_trials(zone, *rest, _LAYER_FORMS, *_LAYER_WORK, 5, 16)  # type: ignore[call-arg]


def _pairs(last: int) -> list[tuple[int, int]]:
    return [(j, i) for j in range(last) for i in range(j)]


_SUMS_OF_SQUARES = np.array(
    sorted({a * a + b * b + c * c for a, b, c in itertools.product(range(7), repeat=3)} - {0})[:36]
)
_PAIRS = {
    TETRAGONAL: np.array([(n, m * m) for n in (0, 1, 2, 4, 5, 8, 9, 10) for m in range(6) if n or m]),
    HEXAGONAL: np.array([(n, m * m) for n in (0, 1, 3, 4, 7, 9, 12) for m in range(8) if n or m]),
}
_SQUARES = np.array([v for v in itertools.product((0.0, 1.0, 4.0), repeat=3) if 0 < sum(v) <= 6])
_SQUARES_F = np.array(  # face-centred lattices give no lower indices than these
    [(1.0, 1, 1)]
    + sorted({v for h in ((4.0, 0, 0), (4.0, 4, 0), (9.0, 1, 1), (16.0, 0, 0)) for v in itertools.permutations(h)})
)
_PLANE_ANGLES = np.array(
    [(h, k, 1.0, 1.0) for h, k in ((1, 1), (2, 1), (1, 2), (2, 2))]
    + [(h, k, 1.0, 0.5) for h, k in ((1, 1), (2, 1), (1, 3))]
    + [(h, k, 0.5, 1.0) for h, k in ((1, 1), (1, 2), (3, 1))]
)
_FORMS = np.array([(0, 1, 0), (1, 1, 0), (0, 1, 1), (1, 1, 1), (-1, 1, 1), (0, 2, 0), (1, 2, 0), (0, 2, 1)])
_LAYER_FORMS = np.array(
    [(h, k) for h, k in itertools.product(range(-2, 3), repeat=2) if (h or k) and abs(h) + abs(k) < 4]
)
_LAYER_WORK = np.zeros((MOST_ACROSS, MOST_ALONG), np.float32), np.zeros((MOST_ACROSS, MOST_ALONG), np.int8)
_RECTANGLE_SQUARES = np.array([(0, 1), (1, 0), (0, 4), (4, 0), (0, 9), (9, 0), (1, 1), (1, 4), (4, 1), (1, 9), (9, 1)])
_OUTSIDE = np.array(
    [(k, 0, m, 1) for k in range(3) for m in range(3)]
    + [(k, 1, m, -1) for k in range(3) for m in range(3)]
    + [(k, 0, m, 2) for k in range(2) for m in range(2)]
)

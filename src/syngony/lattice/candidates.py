"""A lattice on trial: refined with a zero shift, and scored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.lattice.bravais import (
    SUBLATTICES,
    bravais_lattices,
    doubled_lattices,
    finer_lattices,
    parameters_from,
    reciprocal_metric_of,
    unit_cell,
)
from syngony.lattice.comparison import reduced_metric, same_lattice
from syngony.lattice.fit import distinct, line_table, log_odds, match, refine
from syngony.lattice.predicted import (
    CENTRING_CODES,
    CUBIC,
    HEXAGONAL,
    MONOCLINIC,
    ORTHORHOMBIC,
    PARAMETERS,
    TETRAGONAL,
    TRICLINIC,
    predict,
)
from syngony.lattice.trials import Observed
from syngony.unit_cell import CENTRING_VECTORS, UnitCell

_CAPACITY = 20000
_CELLS = 2048
_ROUNDS = 4
_SETTLED, _SETTLED_SHIFT = 1e-6, 1e-4  # relative, and degrees: another round changes nothing
_PRICE_OF_PSEUDO_TRANSLATION = 1.5  # about one crystal in five
_MODULI = np.array([modulus for modulus, _ in SUBLATTICES])
_CONDITIONS = np.array([u for _, u in SUBLATTICES])
_PREDICTED_A_LINE = {
    CUBIC: (0.25, 0.5), TETRAGONAL: (0.65, 0.55), HEXAGONAL: (0.6, 0.5), ORTHORHOMBIC: (0.7, 0.6),
    MONOCLINIC: (1.2, 0.6), TRICLINIC: (1.2, 0.6),
}  # fmt: skip
"""Mean and deviation of ln(lines predicted / lines found) of true cells: simulated laboratory scans of other
structures than the benchmark's."""

_IMPURE = 0.15
_LOG_PURE, _LOG_IMPURE = math.log(1.0 - _IMPURE), math.log(_IMPURE)
_WEAK, _FOREIGN = 0.1, 0.65
"""In one sample of seven most weak lines belong to other phases, those with a stray probability above 0.1 (some 2 % of
the strongest and less). Nobody knows beforehand which sample it is, so both odds are added."""

SMALLEST_SCALE = 0.2
"""The scatter of lines is never taken for less than this share of their standard uncertainty."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A refined lattice.

    Attributes:
        symmetry, centring, parameters: as in `predicted`.
        zero_shift: degrees: 2θ observed = 2θ of the lattice + shift.
        log_odds: of `fit`, the ranking.
        hkl: (n, 3) indices of each line; error: (n,) Q observed - calculated, 1/Å^2, inf where not indexed.
        q: (n,) 1/Å^2 of the lines, the shift taken off.
        predicted: distinct lines that the lattice predicts in the range of the lines.
        metric: (3, 3) Å^2, of the Niggli-reduced cell.
    """

    symmetry: int
    centring: str
    parameters: NDArray[np.floating]
    zero_shift: float
    log_odds: float
    hkl: NDArray[np.int64]
    error: NDArray[np.floating]
    q: NDArray[np.floating]
    predicted: int
    metric: NDArray[np.floating]

    @property
    def indexed(self) -> NDArray[np.bool_]:
        """(n,) which lines the lattice explains."""
        return np.isfinite(self.error)

    @property
    def cell(self) -> UnitCell:
        """The conventional cell."""
        return unit_cell(self.symmetry, self.centring, self.parameters)


@njit(cache=True, error_model="numpy")
def _fit(
    symmetry,
    centring,
    size,
    p,
    zero,
    spread,
    two_theta,
    half_lambda,
    observed,
    impure,
    resolution,
    q,
    hkl,
    index,
    error,
):
    """Match and refine in turn; p is changed. Returns (zero shift, log odds, distinct lines predicted, all)."""
    m = two_theta.shape[0]
    shifted = np.empty(m)
    normal, right, row = np.zeros((7, 7)), np.zeros(7), np.zeros(7)
    table = np.zeros(_CELLS, np.int64)
    limit, n, settled = 0.0, 0, False
    before = np.zeros(6)
    for round_ in range(_ROUNDS + 1):
        for j in range(m):
            shifted[j] = (math.sin(math.radians(0.5 * (two_theta[j] - zero))) / half_lambda) ** 2
        limit = shifted[m - 1] + observed.reach[m - 1]
        line_table(shifted, limit, table)
        n = predict(symmetry, centring, p, limit, q, hkl)
        if n == 0 or n == q.shape[0]:
            return zero, -math.inf, 0, 0
        if match(q, hkl, n, shifted, observed.reach, table, limit, index, error) <= size:
            return zero, -math.inf, 0, 0
        if round_ == _ROUNDS or settled:
            break
        before[:] = p
        # The prior holds the whole shift, so its pull is towards zero, not towards the last value.
        for j in range(m):
            shifted[j] += observed.slope[j] * zero
        done, zero_new = refine(
            symmetry, size, shifted, observed.sigma, observed.slope, index, error, p, spread, normal, right, row
        )
        if not done:
            return zero, -math.inf, 0, 0
        settled = spread == 0 or abs(zero_new - zero) < _SETTLED_SHIFT
        for i in range(size):
            settled = settled and abs(p[i] - before[i]) < _SETTLED * (p[0] + p[1] + p[2])
        if spread > 0:
            zero = max(-0.4, min(0.4, zero_new))
    lines = distinct(q, n, resolution)
    rest = lines, limit, normal, SMALLEST_SCALE
    odds = _LOG_PURE + log_odds(size, p, shifted, observed.sigma, error, observed.stray, *rest)
    odds = np.logaddexp(odds, _LOG_IMPURE + log_odds(size, p, shifted, observed.sigma, error, impure, *rest))
    if spread > 0:
        odds -= 0.5 * (zero / spread) ** 2
    return zero, odds, lines, n


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores lattices against the lines of one pattern.

    Attributes:
        two_theta: (n,) degrees, increasing.
        wavelength: Å.
        observed: the lines for the compiled functions, without a shift.
        zero_spread: standard deviation of the zero shift, degrees; 0 where it is known to be none.
        resolution: predicted lines nearer than this are one, 1/Å^2 per root of Q in 1/Å.
    """

    two_theta: NDArray[np.floating]
    wavelength: float
    observed: Observed
    zero_spread: float
    resolution: float

    @cached_property
    def stray_if_impure(self) -> NDArray[np.floating]:
        """(n,) probability that a line belongs to something else, were the sample impure."""
        stray = self.observed.stray
        return np.where(stray > _WEAK, np.maximum(stray, _FOREIGN), stray)

    def judge(self, symmetry: int, centring: str, parameters: NDArray[np.floating], zero: float) -> Candidate | None:
        """Refine one lattice and score it; None where it explains too little to be refined."""
        p = np.array(parameters, dtype=float)
        m = len(self.two_theta)
        index, error = np.zeros((m, 3), np.int64), np.zeros(m)
        hkl = np.zeros((_CAPACITY, 3), np.int64)
        zero, odds, lines, n = _fit(
            symmetry, CENTRING_CODES[centring], int(PARAMETERS[symmetry]), p, zero, self.zero_spread, self.two_theta,
            0.5 * self.wavelength, self.observed, self.stray_if_impure, self.resolution,
            np.zeros(_CAPACITY), hkl, index, error,
        )  # fmt: skip
        if not math.isfinite(odds):
            return None
        odds += _pseudo_translation(index[np.isfinite(error)], hkl[:n], centring)
        odds -= _emptiness(symmetry, lines / m)
        cell = unit_cell(symmetry, centring, p)
        q = (np.sin(np.radians(0.5 * (self.two_theta - zero))) / (0.5 * self.wavelength)) ** 2
        return Candidate(
            symmetry, centring, p, zero, odds, index, error, q, lines, reduced_metric(cell.primitive_metric)
        )

    def family(
        self, symmetry: int, parameters: NDArray[np.floating], zero: float, known: set[tuple[int, float]] | None = None
    ) -> list[Candidate]:
        """Every Bravais lattice near a primitive cell, and near its finer lattices, refined and scored.

        Args:
            symmetry, parameters, zero: of the cell.
            known: starts whose families are known, which is noted: they are found again at other zero shifts.
        """
        start = self.judge(symmetry, "P", parameters, zero)
        if start is None:
            return []
        if known is not None:
            key = symmetry, round(start.log_odds, 2)
            if key in known:
                return []
            known.add(key)
        found: list[Candidate] = [start]
        metrics = [np.linalg.inv(reciprocal_metric_of(symmetry, start.parameters))]
        indexed = start.indexed
        metrics += finer_lattices(metrics[0], start.hkl[indexed], self.observed.weight[indexed])
        seen: list[NDArray[np.floating]] = []
        while metrics:
            metric = metrics.pop(0)
            if any(same_lattice(metric, other, 0.002, 0.2) for other in seen) or len(seen) > 12:
                continue
            seen.append(metric)
            lattices = bravais_lattices(metric)
            # Obverse and reverse indices are mixed in a hexagonal list, so no sublattice shows the R lattice.
            lattices += [(s, "R", p) for s, centring, p in lattices if s == HEXAGONAL and centring == "P"]
            for s, centring, p in lattices:
                candidate = self.judge(s, centring, p, start.zero_shift)
                if candidate is not None:
                    found.append(candidate)
                    inside = candidate.indexed
                    metrics += finer_lattices(
                        candidate.cell.primitive_metric, _on_primitive_axes(candidate.hkl[inside], candidate.centring),
                        self.observed.weight[inside],
                    )  # fmt: skip
        return found

    def enlarged(self, candidate: Candidate) -> list[Candidate]:
        """Lattices of twice the cell, refined and scored: weak lines often belong to a superstructure."""
        found: list[Candidate] = []
        for metric in doubled_lattices(candidate.metric):
            p = parameters_from(TRICLINIC, np.linalg.inv(reduced_metric(metric)))
            found += self.family(TRICLINIC, p, candidate.zero_shift)
        return found


def _on_primitive_axes(hkl: NDArray[np.int64], centring: str) -> NDArray[np.int64]:
    """Indices (n, 3) on the primitive axes of `UnitCell.primitive_metric`."""
    return np.round(hkl @ CENTRING_VECTORS[centring].T).astype(np.int64)


def _emptiness(symmetry: int, ratio: float) -> float:
    """What a lattice loses that predicts more lines than are seen of true ones, which is nearly log-normal."""
    mean, deviation = _PREDICTED_A_LINE[symmetry]
    return 0.5 * max(0.0, (math.log(max(ratio, 1e-3)) - mean) / deviation) ** 2


def _pseudo_translation(hkl: NDArray[np.int64], predicted: NDArray[np.int64], centring: str) -> float:
    """What the odds gain when the lines favour a sublattice of the reciprocal lattice, as superstructures do.

    Lines are inside one of the sublattices of index 2 and 3 with an unknown probability (evenly drawn) instead of
    the share of predicted lines that are inside; that there is such a preference at all has its price.

    Args:
        hkl, predicted: (n, 3) and (m, 3) indices of the lines and of all that are predicted.
        centring: of the axes of the indices.
    """
    # Indices on primitive axes are integers, sums of thirds and halves: six times them are, without rounding.
    basis = np.round(6.0 * CENTRING_VECTORS[centring]).astype(np.int64)
    return float(_preference(hkl, predicted, _CONDITIONS @ basis, _MODULI))


@njit(cache=True, error_model="numpy")
def _preference(hkl, predicted, conditions, moduli):
    gain, n, m = 0.0, hkl.shape[0], predicted.shape[0]
    for c in range(moduli.shape[0]):
        u, v, w, modulus = conditions[c, 0], conditions[c, 1], conditions[c, 2], 6 * moduli[c]
        inside, every = 0, 0
        for j in range(n):
            inside += (u * hkl[j, 0] + v * hkl[j, 1] + w * hkl[j, 2]) % modulus == 0
        for j in range(m):
            every += (u * predicted[j, 0] + v * predicted[j, 1] + w * predicted[j, 2]) % modulus == 0
        if every in (0, m):
            continue
        share = every / m
        beta = math.lgamma(inside + 1) + math.lgamma(n - inside + 1) - math.lgamma(n + 2)
        even = inside * math.log(share) + (n - inside) * math.log(1.0 - share)
        gain = max(gain, beta - even - _PRICE_OF_PSEUDO_TRANSLATION)
    return gain

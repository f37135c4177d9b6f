"""Lattices of lower symmetry hidden behind one of higher symmetry that explains nearly every line.

A crystal whose lattice is nearly of a higher symmetry splits a few lines, mostly at high angles, so that a search
by low lines ends with the higher symmetry. Here a lattice is strained along each way of lowering its symmetry, by small
steps up to one per cent; where more of all lines are then explained, the strained lattice is refined and judged.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.lattice.bravais import parameters_from
from syngony.lattice.candidates import Candidate, Judge
from syngony.lattice.comparison import reduced_metric
from syngony.lattice.fit import line_table, match
from syngony.lattice.lattice_symmetry import lattices_near
from syngony.lattice.predicted import CENTRING_CODES, TRICLINIC, predict
from syngony.lattice.search import ranked
from syngony.unit_cell import CENTRING_VECTORS

Lattice = tuple[int, str, NDArray[np.floating]]
"""Symmetry, centring and parameters, as in `predicted`."""

_STEPS = np.concatenate([sign * np.geomspace(4e-4, 1.2e-2, 14) for sign in (1.0, -1.0)])
"""Strains that are tried: a step is about the reach of a line at 60 degrees."""

_JUDGED = 2  # strains of each way that are refined
_KEPT, _DISTORTED = 20, 3
_GENERATIONS = 3  # from cubic to triclinic at most
_CELLS, _CAPACITY = 4096, 6000


def _strain(**parts: float) -> NDArray[np.float64]:
    """Symmetric (3, 3) of unit size."""
    places = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
    strain = np.zeros((3, 3))
    for name, value in parts.items():
        strain[places[name]] = strain[places[name][::-1]] = value
    return strain / np.abs(strain).max()


_SQUARE, _SHEARS = _strain(xx=1, yy=-1), [_strain(yz=1), _strain(xz=1), _strain(xy=1)]
_WAYS = {
    "cubic": [_strain(zz=1, xx=-0.5, yy=-0.5), _strain(yz=1, xz=1, xy=1), _SQUARE, _SHEARS[2]],
    "tetragonal": [_SQUARE, _SHEARS[2], _SHEARS[0], _strain(yz=1, xz=1)],
    "hexagonal": [_SQUARE, *_SHEARS],
    "rhombohedral": [_SQUARE, *_SHEARS],
    "orthorhombic": _SHEARS,
    "monoclinic": [_SHEARS[0], _SHEARS[2], _strain(yz=1, xy=1), _strain(yz=1, xy=-1)],
}
"""Strains (x along a, z along c*) that lower the symmetry of a lattice, one of each kind that is equivalent."""


def on_all_lines(found: list[Candidate], judge: Judge) -> list[Candidate]:
    """Candidates refined and judged on all lines, with the lattices of lower symmetry near the best of them.

    Args:
        found: by a search, which judges them by the lines of lowest angle.
        judge: of all lines.
    """
    again = []
    for candidate in ranked(found, _KEPT):
        refined = judge.judge(candidate.symmetry, candidate.centring, candidate.parameters, candidate.zero_shift)
        if refined is not None:
            again.append(refined)
    again.sort(key=lambda one: -one.log_odds)
    return [lower for one in again[:_DISTORTED] for lower in distorted(one, judge)] + again


def distorted(candidate: Candidate, judge: Judge) -> list[Candidate]:
    """Lattices near a candidate, of lower symmetry, that explain all lines better, the best last.

    Args:
        candidate: refined by `judge`.
        judge: of all lines.
    """
    found: list[Candidate] = []
    for _ in range(_GENERATIONS):
        trials = [
            lower
            for symmetry, centring, parameters in _likeliest(candidate, judge)
            if (lower := judge.judge(symmetry, centring, parameters, candidate.zero_shift)) is not None
        ]
        best = max(trials, key=lambda one: one.log_odds, default=None)
        if best is None or best.log_odds <= candidate.log_odds:
            break
        found.append(best)
        candidate = best
    return found


def _likeliest(candidate: Candidate, judge: Judge) -> list[Lattice]:
    """Strained lattices that explain more than the candidate does: (symmetry, centring, parameters)."""
    cell = candidate.cell
    axes = np.linalg.cholesky(cell.metric)  # rows a, b, c in Å: a along x, c* along z
    primitive = CENTRING_VECTORS[cell.centring]
    explained = _Explained(judge, candidate.q)
    least = explained(candidate.symmetry, candidate.centring, candidate.parameters)
    chosen = []
    for way in _WAYS.get(cell.lattice_system, []):
        tried = []
        for step in _STEPS:
            strained = primitive @ axes @ (np.eye(3) + step * way)
            lattice = _lattice_of(strained @ strained.T, 0.2 * abs(step))
            tried.append((explained(*lattice), lattice))
        tried.sort(key=lambda pair: -pair[0])
        chosen += [lattice for share, lattice in tried[:_JUDGED] if share > least]
    return chosen


def _lattice_of(metric: NDArray[np.float64], tolerance: float) -> Lattice:
    """(symmetry, centring, parameters) of a primitive metric."""
    small = reduced_metric(metric)
    for symmetry, centring, axes in lattices_near(small, (tolerance,)):
        return symmetry, centring, parameters_from(symmetry, np.linalg.inv(axes @ small @ axes.T))
    return TRICLINIC, "P", parameters_from(TRICLINIC, np.linalg.inv(small))


class _Explained:
    """The share of all lines, by weight, that a lattice explains as it stands."""

    def __init__(self, judge: Judge, q: NDArray[np.floating]) -> None:
        lines = judge.observed
        self.q = q
        self.reach, self.weight = lines.reach, lines.weight
        self.limit = float(self.q[-1] + self.reach[-1])
        self.table = np.zeros(_CELLS, np.int64)
        line_table(self.q, self.limit, self.table)
        self.work = np.zeros(_CAPACITY), np.zeros((_CAPACITY, 3), np.int64)

    def __call__(self, symmetry: int, centring: str, parameters: NDArray[np.floating]) -> float:
        return float(
            _share(
                symmetry, CENTRING_CODES[centring], parameters, self.q, self.reach, self.weight, self.limit,
                self.table, *self.work,
            )
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _share(symmetry, centring, p, q, reach, weight, limit, table, predicted, hkl):
    n = predict(symmetry, centring, p, limit, predicted, hkl)
    if n == 0 or n == predicted.shape[0]:
        return 0.0
    index, error = np.zeros((q.shape[0], 3), np.int64), np.zeros(q.shape[0])
    match(predicted, hkl, n, q, reach, table, limit, index, error)
    total = 0.0
    for j in range(q.shape[0]):
        if error[j] != np.inf:
            # A line in the middle of its reach counts for more than one at its end.
            total += weight[j] * (1.0 - 0.5 * abs(error[j]) / reach[j])
    return total

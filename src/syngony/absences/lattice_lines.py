"""The lines that a lattice allows, each with all the reflections that share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.errors import InputError
from syngony.unit_cell import UnitCell

_MAX_REFLECTIONS = 60_000
_SAME = 1e-7  # relative difference of Q of reflections that the metric makes equal

_HEXAGONAL = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])
_ONE = np.eye(3)


def _square(i: int, j: int) -> NDArray[np.float64]:
    return 0.5 * (np.outer(_ONE[i], _ONE[j]) + np.outer(_ONE[j], _ONE[i]))


_DIAGONAL = [_square(0, 0), _square(1, 1), _square(2, 2)]
METRIC_BASIS = {
    "triclinic": [*_DIAGONAL, _square(1, 2), _square(0, 2), _square(0, 1)],
    "monoclinic": [*_DIAGONAL, _square(0, 2)],
    "orthorhombic": _DIAGONAL,
    "tetragonal": [_DIAGONAL[0] + _DIAGONAL[1], _DIAGONAL[2]],
    "rhombohedral": [_HEXAGONAL, _DIAGONAL[2]],
    "hexagonal": [_HEXAGONAL, _DIAGONAL[2]],
    "cubic": [_ONE],
}
"""Reciprocal metrics of each lattice system are the sums of these with free coefficients."""


@dataclass(frozen=True)
class LatticeLines:
    """Powder lines of a lattice in order of Q; n lines of N reflections.

    Attributes:
        q: (n,) 1/d^2, 1/Å^2.
        multiplicity: (n,) reflections of each line, Friedel mates counted.
        form: (n, p) with q = form @ metric.
        metric: (p,) coefficients of `METRIC_BASIS`; `metric_scale` (p,): by what to measure changes of them.
        hkl: (N, 3) reflections, one of each Friedel pair; `line`: (N,) the line each belongs to.
        hexagonal: indices are on hexagonal axes.
    """

    q: NDArray[np.float64]
    multiplicity: NDArray[np.int64]
    form: NDArray[np.float64]
    metric: NDArray[np.float64]
    metric_scale: NDArray[np.float64]
    hkl: NDArray[np.int64]
    line: NDArray[np.int64]
    hexagonal: bool = False

    def __len__(self) -> int:
        return len(self.q)

    def head(self, count: int) -> LatticeLines:
        """The first `count` lines."""
        kept = self.line < count
        return LatticeLines(
            self.q[:count],
            self.multiplicity[:count],
            self.form[:count],
            self.metric,
            self.metric_scale,
            self.hkl[kept],
            self.line[kept],
            self.hexagonal,
        )

    def all_of(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(n,) lines of which every reflection is flagged; flags are (N,)."""
        return np.bincount(self.line, ~flags, len(self)) == 0


@dataclass(frozen=True)
class LineAreas:
    """Integrated intensities of the lines of a lattice as a Gaussian, before anything is said of their sign.

    Their log likelihood is rhs @ x - x @ normal @ x / 2 up to a constant.

    Attributes:
        lines: n of them.
        intensity: (n,) areas, not negative.
        normal: (n, n), inverse covariance of the areas.
        rhs: (n,).
    """

    lines: LatticeLines
    intensity: NDArray[np.float64]
    normal: NDArray[np.float64]
    rhs: NDArray[np.float64]


def lattice_lines(cell: UnitCell, q_min: float, q_max: float, max_lines: int) -> LatticeLines:
    """Lines of a lattice with q_min < Q < q_max (1/Å^2), the first `max_lines` of them.

    The metric is made exactly that of the cell's lattice system first.

    Raises:
        InputError: there is none.
    """
    basis = METRIC_BASIS[cell.lattice_system]
    flat = np.array([element.ravel() for element in basis])
    metric = np.linalg.lstsq(flat.T, cell.reciprocal_metric.ravel(), rcond=None)[0]
    reciprocal = np.einsum("p,pij->ij", metric, np.array(basis))
    diagonal = np.diag(reciprocal)
    scale = np.array([np.sqrt(np.outer(diagonal, diagonal))[np.abs(element) > 0].max() for element in basis])
    q_max = min(q_max, (_MAX_REFLECTIONS / (2.1 * cell.volume)) ** (2.0 / 3.0))
    limits = np.floor(np.sqrt(np.diag(np.linalg.inv(reciprocal)) * q_max) + 1e-9).astype(int)
    box = np.stack(
        np.meshgrid(
            np.arange(0, limits[0] + 1),
            np.arange(-limits[1], limits[1] + 1),
            np.arange(-limits[2], limits[2] + 1),
            indexing="ij",
        ),
        -1,
    ).reshape(-1, 3)
    h, k, l = box.T  # noqa: E741
    box = box[((h > 0) | (k > 0) | ((k == 0) & (l > 0))) & centred(box, cell.centring)]
    q = np.einsum("ni,ij,nj->n", box, reciprocal, box)
    order = np.argsort(q, kind="stable")
    order = order[(q[order] > q_min) & (q[order] < q_max)]
    if len(order) == 0:
        raise InputError("no line of this cell lies within the scan: check the cell and the wavelength")
    box, q = box[order], q[order]
    line = np.concatenate([[0], np.cumsum(np.diff(q) > _SAME * q[1:])])
    kept = line < max_lines
    box, q, line = box[kept], q[kept], line[kept]
    hexagonal = cell.lattice_system in ("hexagonal", "rhombohedral")
    first = np.searchsorted(line, np.arange(line[-1] + 1))
    form = np.einsum("ni,pij,nj->np", box[first], np.array(basis), box[first])
    return LatticeLines(q[first], 2 * np.bincount(line), form, metric, scale, box, line, hexagonal)


def centred(hkl: NDArray[np.integer], centring: str) -> NDArray[np.bool_]:
    """True (n,) for the reflections (n, 3) that a centring allows: P, A, B, C, I, F or R (obverse).

    Raises:
        InputError: another letter.
    """
    h, k, l = np.asarray(hkl).T  # noqa: E741
    if centring == "P":
        return np.ones(len(h), dtype=bool)
    if centring == "R":
        return (-h + k + l) % 3 == 0
    even = {"A": k + l, "B": h + l, "C": h + k, "I": h + k + l}
    if centring == "F":
        return ((h + k) % 2 == 0) & ((k + l) % 2 == 0)
    if centring not in even:
        raise InputError(f"no centring {centring!r}: choose P, A, B, C, I, F or R")
    return even[centring] % 2 == 0

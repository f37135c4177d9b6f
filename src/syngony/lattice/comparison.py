"""Whether two cells describe one lattice, or one a sublattice of the other."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from syngony.unit_cell import parameters_of

_VECTORS = np.array([v for v in itertools.product(range(-4, 5), repeat=3) if any(v)])
_LARGEST_INDEX = 6


def reduced(metric: NDArray[np.floating]) -> NDArray[np.floating]:
    """Niggli-reduced cell: (6,) a, b, c in Å and alpha, beta, gamma in degrees, of a primitive metric."""
    return parameters_of(reduced_metric(metric))


def reduced_metric(metric: NDArray[np.floating]) -> NDArray[np.floating]:
    """Metric (3, 3) of the Niggli-reduced cell."""
    import gemmi

    vector = gemmi.GruberVector(
        [metric[0, 0], metric[1, 1], metric[2, 2], 2 * metric[1, 2], 2 * metric[0, 2], 2 * metric[0, 1]]
    )
    vector.niggli_reduce(epsilon=1e-9 * float(np.trace(metric)), iteration_limit=200)
    a, b, c, d, e, f = vector.parameters
    return np.array([[a, f / 2, e / 2], [f / 2, b, d / 2], [e / 2, d / 2, c]])


def transformation(
    small: NDArray[np.floating], large: NDArray[np.floating], length: float = 0.01, angle: float = 1.0
) -> NDArray[np.int64] | None:
    """Integers (3, 3) that make the cell `large` of vectors of the cell `small`, if there are any.

    Args:
        small, large: metrics (3, 3), Å^2, of primitive cells.
        length: relative difference that axes may have; angle: degrees.

    Returns:
        Rows of integers whose determinant is the ratio of volumes; None where the lattices differ or
        the ratio is above six.
    """
    ratio = float(np.sqrt(np.linalg.det(large) / np.linalg.det(small)))
    index = round(ratio)
    if not 1 <= index <= _LARGEST_INDEX or abs(ratio / index - 1) > 3.2 * length + 0.01:
        return None
    small_reduced, target = reduced_metric(small), parameters_of(reduced_metric(large))
    lengths = np.sqrt(np.einsum("ni,ij,nj->n", _VECTORS, small_reduced, _VECTORS))
    near = [_VECTORS[np.abs(lengths / target[axis] - 1) <= length] for axis in range(3)]
    if any(len(vectors) == 0 for vectors in near):
        return None
    first, second, third = (vectors @ np.linalg.cholesky(small_reduced) for vectors in near)

    def angles(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.floating]:
        cosine = (x @ y.T) / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
        return np.degrees(np.arccos(np.clip(cosine, -1, 1)))

    gamma = np.abs(angles(first, second) - target[5]) <= angle
    beta = np.abs(angles(first, third) - target[4]) <= angle
    alpha = np.abs(angles(second, third) - target[3]) <= angle
    for i, j, k in np.argwhere(gamma[:, :, None] & beta[:, None, :] & alpha[None, :, :]):
        rows = np.stack([near[0][i], near[1][j], near[2][k]])
        if abs(round(float(np.linalg.det(rows)))) == index:
            return rows
    return None


def same_lattice(
    one: NDArray[np.floating], other: NDArray[np.floating], length: float = 0.01, angle: float = 1.0
) -> bool:
    """Whether two primitive metrics (3, 3) are one lattice.

    Axes may differ by `length` (relative), angles by `angle` (degrees).
    """
    if abs(_determinant(one) / _determinant(other) - 1) > 7 * length:
        return False
    reduced_one, reduced_other = reduced_metric(one), reduced_metric(other)
    # Reduced cells that agree, shapes and all, need no search for other bases. Near a special shape they may not.
    if (abs(reduced_one - reduced_other) <= 0.5 * min(length, math.radians(angle)) * reduced_one[0, 0]).all():
        return True
    return transformation(one, other, length, angle) is not None


def _determinant(m: NDArray[np.floating]) -> float:
    """Of a symmetric (3, 3); a tenth of the time of numpy's, which is for large ones."""
    (a, f, e), (_, b, d), (_, _, c) = m.tolist()
    return a * (b * c - d * d) - f * (f * c - d * e) + e * (f * d - b * e)


def is_derivative(
    one: NDArray[np.floating], other: NDArray[np.floating], length: float = 0.01, angle: float = 1.0
) -> bool:
    """Whether one of two different lattices is a sublattice of the other, of index up to six."""
    if np.linalg.det(one) > np.linalg.det(other):
        one, other = other, one
    return not same_lattice(one, other, length, angle) and transformation(one, other, length, angle) is not None

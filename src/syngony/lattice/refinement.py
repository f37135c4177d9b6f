"""Standard uncertainties of a refined cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from syngony.lattice.bravais import reciprocal_metric_of
from syngony.lattice.candidates import Candidate, Judge
from syngony.lattice.predicted import PARAMETERS, features
from syngony.unit_cell import parameters_of


def standard_uncertainties(candidate: Candidate, judge: Judge) -> NDArray[np.float64]:
    """(6,) of a, b, c in Å and alpha, beta, gamma in degrees; zero where symmetry fixes a value.

    From the weighted least squares of Q on the parameters of the reciprocal metric and the zero shift, its
    covariance multiplied by the reduced chi-squared where that is above one (E. Prince, Mathematical Techniques in
    Crystallography and Materials Science, 1982, chapter 5), carried over to the cell by finite differences.
    NaN where the lines do not determine the cell.
    """
    size = int(PARAMETERS[candidate.symmetry])
    inside = np.flatnonzero(candidate.indexed)
    design = np.zeros((len(inside), size + 1))
    row = np.zeros(7)
    for place, j in enumerate(inside):
        row[:] = 0.0
        h, k, l = (int(x) for x in candidate.hkl[j])  # noqa: E741
        features(candidate.symmetry, h, k, l, row)
        design[place, :size] = row[:size]
    design[:, size] = judge.observed.slope[inside]
    sigma = judge.observed.sigma[inside]
    normal = (design / sigma[:, None]).T @ (design / sigma[:, None])
    if judge.zero_spread > 0:
        normal[size, size] += 1.0 / judge.zero_spread**2
    else:
        normal, design = normal[:size, :size], design[:, :size]
    if len(inside) <= normal.shape[0] or np.linalg.cond(normal) > 1e14:
        return np.full(6, np.nan)
    freedom = len(inside) - normal.shape[0]
    scatter = float(((candidate.error[inside] / sigma) ** 2).sum()) / freedom
    covariance = np.linalg.inv(normal)[:size, :size] * max(1.0, scatter)
    jacobian = np.zeros((6, size))
    for k in range(size):
        step = 1e-5 * max(abs(candidate.parameters[k]), 1e-2 * candidate.parameters[0])
        ends = []
        for sign in (1.0, -1.0):
            p = candidate.parameters.copy()
            p[k] += sign * step
            ends.append(parameters_of(np.linalg.inv(reciprocal_metric_of(candidate.symmetry, p))))
        jacobian[:, k] = (ends[0] - ends[1]) / (2.0 * step)
    found = np.sqrt(np.maximum(np.einsum("ik,kl,il->i", jacobian, covariance, jacobian), 0.0))
    return np.where(found > 1e-9, found, 0.0)

"""Steps of the profile in a Pawley fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from syngony.absences.lattice_lines import LatticeLines
from syngony.absences.pawley_kernels import normal_matrix, slopes
from syngony.absences.pawley_model import Scan, State, geometry, solve


def refine(
    scan: Scan, lines: LatticeLines, state: State, weights: NDArray[np.float64], zero_shift: float, iterations: int
) -> State:
    """Levenberg-Marquardt on the profile with the linear parameters projected out.

    Variable projection (L. Kaufman, BIT 15, 49, 1975): a step of the profile takes into account that
    intensities and background follow it.
    """
    scales = lines.metric_scale
    expected = np.concatenate([[zero_shift, 0.0, 0.0, 0.0, 0.0], lines.metric])
    # How far an aligned instrument and a refined cell can be off; widths are free within reason.
    tightness = 1.0 / np.concatenate([[0.06, 0.06, 1.0, 0.3, 0.5], 0.0015 * scales]) ** 2
    damping = 1e-3
    cost = state.cost + float(tightness @ (state.profile.vector() - expected) ** 2)
    for _ in range(iterations):
        jacobian = _jacobian(scan, lines, state)
        active = state.intensity > 0
        residual = scan.counts - state.curve
        hessian, gradient = _projected(scan, state, weights, jacobian, residual, active)
        vector = state.profile.vector()
        gradient -= tightness * (vector - expected)
        improved = False
        for _ in range(4):
            matrix = hessian + np.diag(tightness + damping * np.diag(hessian))
            step = np.linalg.solve(matrix, gradient)
            step[2:5] = np.clip(step[2:5], -0.5 * state.profile.gauss, 0.5 * state.profile.gauss)
            trial = solve(scan, lines, state.profile.moved(vector + step), weights, state.intensity, 60)
            trial_cost = trial.cost + float(tightness @ (trial.profile.vector() - expected) ** 2)
            if trial_cost < cost:
                improved, gain = True, cost - trial_cost
                state, cost, damping = trial, trial_cost, max(0.1 * damping, 1e-6)
                break
            damping *= 10.0
        if not improved or gain < 1e-4 * cost:
            break
    return state


def _jacobian(scan: Scan, lines: LatticeLines, state: State) -> NDArray[np.float64]:
    """(m, 5 + p) derivatives of the curve by the profile's parameters, intensities fixed."""
    profile = state.profile
    positions, fwhm, share = geometry(lines, profile)
    vector = profile.vector()
    steps = np.concatenate([[1e-4] * 5, 1e-6 * lines.metric_scale])
    by_position = np.empty((*positions.shape, len(vector)))
    by_width, by_share = np.empty((len(fwhm), len(vector))), np.empty((len(fwhm), len(vector)))
    for column, step in enumerate(steps):
        moved = vector.copy()
        moved[column] += step
        there = geometry(lines, profile.moved(moved))
        by_position[:, :, column] = (there[0] - positions) / step
        by_width[:, column], by_share[:, column] = (there[1] - fwhm) / step, (there[2] - share) / step
    shares = np.array([part for _, part in profile.radiation])
    return slopes(scan.grid, positions, shares, fwhm, share, state.intensity, by_position, by_width, by_share)


def _projected(
    scan: Scan,
    state: State,
    weights: NDArray[np.float64],
    jacobian: NDArray[np.float64],
    residual: NDArray[np.float64],
    active: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Newton matrix and gradient of the profile's parameters, linear ones projected out."""
    targets = np.column_stack([jacobian, residual])
    weighted = weights[:, None] * targets
    first, start, values = state.columns
    count = len(scan.penalty)
    left, right = (1.0 - scan.fraction)[:, None] * weighted, scan.fraction[:, None] * weighted
    sums = [  # by column: ten times as quick as np.add.at
        np.bincount(scan.knot, before, count) + np.bincount(scan.knot + 1, after, count)
        for before, after in zip(left.T, right.T, strict=True)
    ]
    on_background = np.stack(sums, axis=1)
    _, ab, bb, _, _ = normal_matrix(*state.columns, weights, scan.counts, scan.knot, scan.fraction, count)
    bb = bb + scan.penalty
    bb[np.diag_indices(count)] += 1e-9 * np.trace(bb) / count
    rows = np.flatnonzero(active)
    on_lines = np.array([values[start[k] : start[k + 1]] @ weighted[first[k] : first[k] + start[k + 1] - start[k]]
                         for k in rows]).reshape(len(rows), targets.shape[1])  # fmt: skip
    # The background goes first, then the lines that it left (their normal matrix already lacks it).
    back = np.linalg.solve(bb, on_background)
    on_lines = on_lines - ab[rows] @ back
    normal = state.normal[np.ix_(rows, rows)]
    normal = normal + np.diag(1e-9 * np.diag(normal) + 1e-300)
    products = weighted.T @ targets - on_background.T @ back
    if len(rows):
        products -= on_lines.T @ np.linalg.solve(normal, on_lines)
    return products[:-1, :-1], products[:-1, -1]

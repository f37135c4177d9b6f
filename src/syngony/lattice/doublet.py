"""Is there a Kα doublet in a scan? The strong lines tell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from syngony.lattice.clean_scan import CleanScan
from syngony.lattice.joint_fit import SINGLE, Fit, Split, fit_together, free_widths, start, width_curve
from syngony.lattice.line_candidates import candidates, left_over
from syngony.lattice.line_fit import partner

Array = NDArray[np.float64]

_STRONG = 0.05  # of the strongest: lines that tell
_MOST_LINES = 250
_MEDIAN_SQUARE = 0.455  # of a normal distribution
_EVIDENCE = 12.0  # in nats, that lines are single, where no pair is resolved: tubes show both unless something was done


def is_doublet(scan: CleanScan, pair: Split) -> bool:
    """Whether lines are pairs of Kα1 and Kα2 rather than single.

    Where a pair would be resolved, a fit of single lines shows whether partners are there. Elsewhere the fit
    decides that misses less, by the logarithm of the likelihood of Student's t, as neither has all weak lines.
    """
    singles = _strong_lines(scan, SINGLE)
    present, absent = _partners(scan, singles, pair)
    if present > 0.3 * (present + absent):
        return True
    if absent >= 3:
        return False
    models = (_strong_lines(scan, pair).model, singles.model)
    best = np.maximum(*models)
    near = maximum_filter1d(best, 2 * int(1.5 * scan.width / scan.step) + 1)
    seen = (best > 2.0 * scan.noise) & (best > 0.15 * near) & (near > 0.5 * _STRONG * best.max())
    if not seen.any():
        return True
    squares = [(scan.net - model)[seen] ** 2 / scan.variance(best)[seen] for model in models]
    scale = max(min(float(np.median(square)) for square in squares) / _MEDIAN_SQUARE, 1.0)
    of_pairs, of_singles = (float(2.5 * np.log1p(square / (4.0 * scale)).sum()) for square in squares)
    return of_pairs < of_singles + _EVIDENCE


def _partners(scan: CleanScan, fit: Fit, pair: Split) -> tuple[int, int]:
    """Strong single lines with, and without, another where their Kα2 would stand apart."""
    position, area, width, significance = fit.lines[:, 0], fit.lines[:, 1], fit.width, fit.significance
    present, absent = 0, 0
    used = np.zeros(len(position), dtype=bool)
    for k in np.argsort(-area):
        place = partner(float(position[k]), pair[0])[0]
        if used[k] or significance[k] < 8.0 or not 0.8 * width[k] < place - position[k] < scan.x[-1] - position[k]:
            continue
        near = np.abs(position - place) < 0.3 * width[k]
        near[k] = False
        if area[near].sum() > 0.3 * area[k]:
            present += 1
            used |= near
        elif significance[k] > 16.0:
            absent += 1
    return present, absent


def _strong_lines(scan: CleanScan, split: Split) -> Fit:
    """The lines above `_STRONG` of the strongest, fitted with widths of their own."""
    variance = scan.variance(scan.rough_signal())
    positions, heights, excess = candidates(scan.x, scan.net, variance, scan.width, split, _MOST_LINES)
    strong = (heights > _STRONG * heights.max(initial=0.0)) & (excess > 8.0)
    lines = start(positions[strong], heights[strong], np.full(int(strong.sum()), math.log(scan.width)), 0.5)
    if len(lines) == 0:
        return fit_together(scan, lines, lines, split, variance, 0, 0)
    fit = fit_together(scan, lines, free_widths(scan, len(lines)), split, variance, 1, 8)
    curve, variance = width_curve(scan, fit, math.inf), scan.variance(fit.model)
    at, heights = left_over(scan.x, scan.net - fit.model, fit.model, variance, scan.width, fit.lines[:, 0])
    strong = heights > 0.5 * _STRONG * fit.model.max()
    held = curve.held(at[strong])
    lines = np.concatenate([fit.lines, start(at[strong], heights[strong], held[:, 0], curve.mixing)])
    return fit_together(scan, lines, curve.held(lines[:, 0]), split, variance, 1, 6)

"""From a clean scan to fitted lines: the doublet, the curve of widths, what the fit leaves, false lines."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syngony.lines.candidates import candidates, left_over
from syngony.lines.clean_scan import CleanScan
from syngony.lines.joint_fit import Fit, Profile, WidthCurve, fit_together, free_widths, start, width_curve
from syngony.lines.profile import is_doublet, with_skew
from syngony.lines.tube import KALPHA2_SHARE, kalpha_doublet, leaked
from syngony.pattern import Pattern
from syngony.wavelengths import TUBE_LINES

Array = NDArray[np.float64]

_WIDEST = 1.6  # degrees for CuKa: wider things are halos
_MOST_LINES = 250
_TOO_WIDE = 0.08  # in ln FWHM, above the curve
_SPLIT_GAIN = 14.0  # of chi-squared, that two lines for one must bring
_SURE = 5.0  # significance of each of the two
_ROOT_8_LN2 = 2.3548
_FLOOR, _CROWDING = 0.002, 0.025  # of a FWHM; per line in a FWHM
_HIDDEN = 2.0  # times the uncertainty of an area: lines so weak are not seen


class Found(NamedTuple):
    """Fitted lines, (n,) each, in order of position; see `lines.Lines`."""

    position: Array
    area: Array
    position_uncertainty: Array
    significance: Array
    fwhm: Array
    wavelength: float


def search_lines(pattern: Pattern, min_significance: float) -> Found:
    """See `lines.find_lines`."""
    scan = CleanScan.from_pattern(pattern)
    doublet = kalpha_doublet(pattern.wavelength)
    profile, wavelength = Profile(), pattern.wavelength
    if doublet is not None:
        pair = Profile(doublet[1] / doublet[0], KALPHA2_SHARE)
        if is_doublet(scan, pair):
            profile, wavelength = pair, doublet[0]
    profile = with_skew(scan, profile)
    fit, curve = _fit_all(scan, profile, min_significance, _WIDEST * pattern.wavelength / TUBE_LINES["CuKa"])
    position, area, width = fit.lines[:, 0], fit.lines[:, 1], fit.width
    kept = ~leaked(position, area, fit.errors[:, 1], width, wavelength) if len(area) else np.zeros(0, dtype=bool)
    uncertainty = _uncertainty(scan, fit, curve)
    return Found(position[kept], area[kept], uncertainty[kept], fit.significance[kept], width[kept], wavelength)


def _fit_all(scan: CleanScan, profile: Profile, min_significance: float, widest: float) -> tuple[Fit, WidthCurve]:
    """Candidates, a first fit with free widths, then rounds of: curve of widths, fit, drop, add, divide."""
    variance = scan.variance(scan.rough_signal())
    positions, heights, _ = candidates(scan.x, scan.net, variance, scan.width, profile, _MOST_LINES)
    lines = start(positions, heights, np.full(len(positions), math.log(scan.width)), 0.5)
    fit = fit_together(scan, lines, free_widths(scan, len(lines)), profile, variance, 1, 8)
    for turn in range(3):
        curve = width_curve(scan, fit, widest)
        fit = fit_together(scan, lines, curve.held(lines[:, 0]), profile, scan.variance(fit.model), 2, 5)
        needed = 2.5 if turn < 2 else min_significance
        lines = fit.lines[_believed(scan, fit, needed, widest) | _only_together(fit, needed)]
        if turn < 2:
            curve = width_curve(scan, fit, widest)
            middle = float(np.median(np.exp(curve.held(fit.lines[:, 0])[:, 0]))) if len(fit.lines) else scan.width
            rest, variance = scan.net - fit.model, scan.variance(fit.model)
            at, heights = left_over(scan.x, rest, fit.model, variance, middle, fit.lines[:, 0])
            more = start(at, heights, curve.held(at)[:, 0], curve.mixing)
            lines = np.concatenate([lines, more[: max(0, _MOST_LINES - len(lines))]])
        if turn > 0:
            lines = _divided(scan, lines, curve, profile, scan.variance(fit.model))
    for _ in range(2):
        fit = fit_together(scan, lines, curve.held(lines[:, 0]), profile, scan.variance(fit.model), 2, 6)
        lines = fit.lines[_believed(scan, fit, min_significance, widest) | _only_together(fit, min_significance)]
    fit = fit_together(scan, lines, curve.held(lines[:, 0]), profile, scan.variance(fit.model), 1, 6)
    kept = _believed(scan, fit, min_significance, widest)
    return Fit(fit.lines[kept], fit.errors[kept], fit.model, fit.chi2[kept]), curve


def _divided(scan: CleanScan, lines: Array, curve: WidthCurve, profile: Profile, variance: Array) -> Array:
    """Lines (n, 4) with those that are too wide replaced by two where two fit better than one of any width."""
    held = curve.held(lines[:, 0])
    excess = lines[:, 2] - held[:, 0]
    wide = excess > _TOO_WIDE
    if not wide.any() or len(lines) + wide.sum() > _MOST_LINES:
        return lines
    held[wide, 2] = 0.4
    one = fit_together(scan, lines, held, profile, variance, 1, 6)
    # The fit sorts its lines: find the wide ones again by order.
    order = np.argsort(lines[:, 0], kind="stable")
    wide = wide[order]
    excess = one.lines[:, 2] - curve.held(one.lines[:, 0])[:, 0]
    wide &= excess > _TOO_WIDE
    parents = one.lines[wide]
    if len(parents) == 0:
        return lines
    narrow = np.exp(parents[:, 2] - excess[wide])
    apart = np.minimum(np.sqrt(np.exp(parents[:, 2]) ** 2 - narrow**2) / _ROOT_8_LN2, 0.8 * narrow)
    halves = [parents.copy(), parents.copy()]
    for half, sign in zip(halves, (-1.0, 1.0), strict=True):
        half[:, 0] += sign * apart
        half[:, 1] *= 0.5
        half[:, 2] = np.log(narrow)
    both = np.concatenate([one.lines[~wide], *halves])
    two = fit_together(scan, both, curve.held(both[:, 0]), profile, variance, 2, 6)
    gains = ((scan.net - one.model) ** 2 - (scan.net - two.model) ** 2) / variance
    result = [one.lines[~wide]]
    for parent, width, chi2 in zip(parents, narrow, one.chi2[wide], strict=True):
        first, last = np.searchsorted(scan.x, [parent[0] - 1.5 * width, parent[0] + 1.5 * width])
        near = np.argsort(np.abs(two.lines[:, 0] - parent[0]))[:2]
        pair = two.lines[near]
        better = gains[first:last].sum() > _SPLIT_GAIN * max(chi2, 1.0)
        better &= np.abs(pair[0, 0] - pair[1, 0]) > 0.35 * width and two.significance[near].min() > _SURE
        result.append(pair if better else parent[None])
    return np.unique(np.concatenate(result), axis=0)


def _uncertainty(scan: CleanScan, fit: Fit, curve: WidthCurve) -> Array:
    """(n,) standard uncertainty of positions: of the fit, of what may lie unresolved, and a floor.

    A line wider than the others may be two: their distance from the middle is what the width has grown by,
    in squares. Any line may hide a weak one: the more so the denser lines are.
    """
    position, width = fit.lines[:, 0], fit.width
    usual = np.exp(curve.held(position)[:, 0])
    hidden = np.sqrt(np.maximum(width**2 - (1.02 * usual) ** 2, 0.0)) / _ROOT_8_LN2
    density = np.array([(np.abs(position - p) < 10.0 * w).sum() / 20.0 for p, w in zip(position, width, strict=True)])
    floor = width * (_FLOOR + density * (_CROWDING + np.minimum(_HIDDEN / fit.significance, 0.15)))
    return np.sqrt((fit.errors[:, 0] * fit.inflation) ** 2 + hidden**2 + floor**2 + (0.03 * scan.step) ** 2)


def _only_together(fit: Fit, min_significance: float) -> NDArray[np.bool_]:
    """(n,) the stronger of neighbours none of which is significant beside the other: alone it may be."""
    position, width, weak = fit.lines[:, 0], fit.width, fit.significance <= min_significance
    chosen = np.zeros(len(position), dtype=bool)
    for k in np.flatnonzero(weak & np.isfinite(fit.errors[:, 1])):
        near = np.flatnonzero(np.abs(position - position[k]) < width[k])
        chosen[k] = len(near) > 1 and weak[near].all() and fit.lines[k, 1] >= fit.lines[near, 1].max()
    return chosen


def _believed(scan: CleanScan, fit: Fit, min_significance: float, widest: float) -> NDArray[np.bool_]:
    """(n,) which lines are lines: strong enough, of a line's width, inside the scan, no misfit of a stronger one."""
    position, width = fit.lines[:, 0], fit.width
    kept = (fit.significance > min_significance) & (width < widest) & (width > 0.5 * scan.step)
    kept &= (position > scan.x[0]) & (position < scan.x[-1]) & (fit.errors[:, 0] < width)
    for k in np.argsort(-fit.lines[:, 1]):
        if kept[k]:
            near = np.abs(position - position[k]) < 0.3 * width[k]
            near[k] = False
            kept &= ~near
            if fit.significance[k] < 2.0 * min_significance:
                kept[k] = scan.chance(position[k], width[k]) > min_significance
    return kept

"""Extinction groups of a scan whose cell is known, ranked by the absences it shows.

Bayes' rule over the extinction groups of the lattice, in every setting that the cell's axes allow:
Markvardsen, David, Johnston & Shankland, Acta Cryst. A57, 47 (2001). The likelihood of a group is that of the
areas of a `pawley_fit` when the lines it forbids have none; the prior, how frequent its space groups are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from syngony.absences.group_settings import Setting, settings_of
from syngony.absences.lattice_lines import LineAreas, lattice_lines
from syngony.absences.likelihood import MODEL, AbsenceModel, log_likelihood
from syngony.absences.pawley import MAX_LINES, pawley_fit
from syngony.extinction_groups import ExtinctionGroup, space_group_frequencies
from syngony.pattern import Pattern, q_from_two_theta, two_theta_from_q
from syngony.unit_cell import UnitCell

__all__ = ["ExtinctionGroup", "rank_extinction_groups", "rank_from_lines"]


class LinesOfScan(Protocol):
    """What a peak search finds, as far as it is of use here: FWHM (k,) in degrees."""

    @property
    def fwhm(self) -> NDArray[np.float64]: ...


def rank_extinction_groups(
    pattern: Pattern,
    cell: UnitCell,
    *,
    zero_shift: float = 0.0,
    lines: LinesOfScan | None = None,
    model: AbsenceModel = MODEL,
) -> tuple[ExtinctionGroup, ...]:
    """Extinction groups of a cell's lattice, most probable first.

    Args:
        pattern: the scan.
        cell: refined, conventional, its centring known; its axes need not be those of a standard setting.
        zero_shift: degrees, as refined with the cell.
        lines: from a peak search; their widths then start the fit, which finds its own without.
        model: of areas.

    Returns:
        All groups of the lattice; their probabilities sum to 1. Where the fit fails they are as frequent as the groups.

    Raises:
        InputError: no line of the cell lies within the scan, or its centring is unknown.
    """
    settings = settings_of(cell.lattice_system, cell.centring)
    if len({setting.group for setting in settings}) == 1:  # triclinic
        return (replace(settings[0].group, probability=1.0),)
    width = float(np.median(lines.fwhm)) if lines is not None and len(lines.fwhm) else None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            fit = pawley_fit(pattern, cell, zero_shift=zero_shift, width=width)
            return ranked(fit, settings, pattern.wavelength, cell, model)
    except np.linalg.LinAlgError:  # the fit ran away: a wrong cell, whose lines have no place in the scan
        return summed(settings, log_prior(settings, cell, model))


def ranked(
    areas: LineAreas,
    settings: tuple[Setting, ...],
    wavelength: float,
    cell: UnitCell,
    model: AbsenceModel = MODEL,
) -> tuple[ExtinctionGroup, ...]:
    """Groups with their probabilities from the areas of the cell's lines."""
    prior = log_prior(settings, cell, model)
    return summed(settings, log_likelihood(areas, settings, wavelength, prior, model) + prior)


def summed(settings: tuple[Setting, ...], score: NDArray[np.float64]) -> tuple[ExtinctionGroup, ...]:
    """Groups with probabilities from the logarithms (s,) of what speaks for their settings."""
    weights = np.exp(score - score.max())
    weights /= weights.sum()
    total: dict[ExtinctionGroup, float] = {}
    for setting, weight in zip(settings, weights, strict=True):
        total[setting.group] = total.get(setting.group, 0.0) + float(weight)
    ordered = sorted(total.items(), key=lambda item: -item[1])
    return tuple(replace(group, probability=probability) for group, probability in ordered)


def log_prior(settings: tuple[Setting, ...], cell: UnitCell, model: AbsenceModel) -> NDArray[np.float64]:
    """ln of the prior (s,): how often the group's space groups occur at this volume, shared by its settings."""
    centred_cells = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 4, "R": 3}
    frequencies = space_group_frequencies(cell.volume / centred_cells[cell.centring], model.smoothing)
    size = [sum(frequencies[n - 1] for n in setting.group.space_groups) ** model.trust for setting in settings]
    variants = [sum(other.group == setting.group for other in settings) for setting in settings]
    prior = np.array(size) / np.array(variants)
    return np.log(prior / prior.sum())


def rank_from_lines(
    two_theta: ArrayLike,
    intensity: ArrayLike,
    wavelength: float,
    cell: UnitCell,
    *,
    uncertainty: ArrayLike | None = None,
    zero_shift: float = 0.0,
    tolerance: float = 0.06,
    model: AbsenceModel = MODEL,
) -> tuple[ExtinctionGroup, ...]:
    """Extinction groups from a list of lines alone: less sure than `rank_extinction_groups` on the scan.

    A line of the list is the sum of the lattice's lines within `tolerance` of it; one that the list does not
    have is taken to be weaker than the weakest that it has. Lines of the list that no line of the lattice is near are
    left out.

    Args:
        two_theta: (n,) degrees.
        intensity: (n,) integrated intensities, any scale.
        wavelength: Å.
        cell: as for `rank_extinction_groups`.
        uncertainty: (n,) standard deviations of the intensities; a tenth of each and the weakest line
            when None.
        zero_shift: degrees, added to calculated angles.
        tolerance: degrees.
        model: of areas.

    Raises:
        InputError: no line of the cell lies in the range of the list, or the cell's centring is unknown.
    """
    settings = settings_of(cell.lattice_system, cell.centring)
    order = np.argsort(np.asarray(two_theta, dtype=float))
    angles = np.asarray(two_theta, dtype=float)[order] - zero_shift
    areas = np.asarray(intensity, dtype=float)[order]
    weakest = float(areas[areas > 0].min(initial=np.inf))
    if uncertainty is None:
        errors = np.hypot(0.1 * areas, 0.5 * weakest)
    else:
        errors = np.maximum(np.asarray(uncertainty, dtype=float)[order], 1e-6 * float(areas.max()))
    # A list starts at its first line, but nothing weaker was seen below it either.
    first, last = q_from_two_theta([0.1, angles[-1] + tolerance], wavelength)
    lines = lattice_lines(cell, float(first), float(last), MAX_LINES)
    places = two_theta_from_q(lines.q, wavelength)
    nearest = np.argmin(np.abs(places[:, None] - angles[None, :]), axis=1)
    shared = np.where(np.abs(places - angles[nearest]) <= tolerance, nearest, len(angles) + np.arange(len(lines)))
    normal = np.zeros((len(lines), len(lines)))
    rhs, share = np.zeros(len(lines)), np.zeros(len(lines))
    for row in np.unique(shared):
        members = np.flatnonzero(shared == row)
        seen = row < len(angles)
        weight = 1.0 / (errors[row] if seen else 0.5 * weakest) ** 2
        normal[np.ix_(members, members)] += weight
        rhs[members] = weight * areas[row] if seen else 0.0
        share[members] = areas[row] / len(members) if seen else 0.0
    return ranked(LineAreas(lines, share, normal, rhs), settings, wavelength, cell, model)

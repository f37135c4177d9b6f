"""Extinction groups of a scan whose cell is known, ranked by the absences it shows.

Bayes' rule over the extinction groups of the lattice, in every setting that the cell's axes allow:
Markvardsen, David, Johnston & Shankland, Acta Cryst. A57, 47 (2001). The likelihood of a group is that of the
areas of a `pawley_fit` when the lines it forbids have none; the prior, how frequent its space groups are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.reflections import lorentz_polarisation
from syngony.extinction_groups import AXIS_PERMUTATIONS, ExtinctionGroup, absences, extinction_groups, space_group_frequencies
from syngony.lattice.cell import UnitCell
from syngony.lattice.lattice_lines import centred
from syngony.lattice.line_evidence import log_evidence
from syngony.lattice.pawley import PawleyFit, pawley_fit
from syngony.pattern import Pattern

__all__ = ["ExtinctionGroup", "rank_extinction_groups", "rank_settings"]


@dataclass(frozen=True)
class AbsenceModel:
    """What the test takes areas to be; fitted on simulated scans of the training side, ``benchmarks/absences.py``.

    Attributes:
        present: ((share, mean), ...) of a mixture of exponentials that the area of an allowed line is drawn from,
            the mean in units of what its place in the pattern lets expect.
        contaminated: share of forbidden lines at whose place something else lies, and `contamination`: its mean
            area, of the strongest line.
        temper: exponent of the likelihood; lines are less independent than the test takes them to be.
        smoothing: of the prior, see `space_group_frequencies`.
    """

    present: tuple[tuple[float, float], ...] = ((0.5, 1.3), (0.3, 0.3), (0.2, 0.03))
    alike: tuple[tuple[float, float], ...] = ((0.7, 1.3), (0.3, 0.3))
    factors: tuple[tuple[float, float], ...] = ((0.7, 1.0), (0.1, 0.1), (0.1, 0.01), (0.1, 0.001))
    parity: float = 3.0
    contaminated: float = 0.03
    contamination: float = 0.02
    temper: float = 0.7
    smoothing: float = 20.0


MODEL = AbsenceModel()

# An axis transformation M gives the indices in the standard setting, hkl_standard = hkl @ M.
_MONOCLINIC = [
    np.array(m)
    for m in (
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
        [[1, 0, 1], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 1, 0], [1, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 1]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 0]],
    )
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Setting:
    """An extinction group with the axes of the cell at hand.

    Attributes:
        group: of the table.
        axes: (3, 3), indices of the cell times this are those of the standard setting.
    """

    group: ExtinctionGroup
    axes: NDArray[np.int64]

    def absent(self, hkl: NDArray[np.integer]) -> NDArray[np.bool_]:
        """True (n,) for the reflections (n, 3) of the cell that are forbidden."""
        return absences(self.group.setting, hkl @ self.axes)


@cache
def settings_of(lattice_system: str, centring: str) -> tuple[Setting, ...]:
    """Every extinction group of a Bravais lattice in every distinct setting of the cell's axes.

    Orthorhombic axes may come in any order, monoclinic ones (b unique) in any choice of a and c.
    """
    box = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    allowed = centred(box, centring)
    choices = {
        "orthorhombic": [np.eye(3, dtype=int)[list(order)] for order in AXIS_PERMUTATIONS],
        "monoclinic": _MONOCLINIC,
    }.get(lattice_system, [np.eye(3, dtype=int)])
    found: dict[bytes, Setting] = {}
    for group in extinction_groups():
        if group.lattice_system != lattice_system:
            continue
        for axes in choices:
            if not (centred(box @ axes, group.centring) == allowed).all():
                continue
            setting = Setting(group, axes)
            found.setdefault(setting.absent(box).tobytes(), setting)
    return tuple(found.values())


def rank_extinction_groups(
    pattern: Pattern, cell: UnitCell, *, zero_shift: float = 0.0, model: AbsenceModel = MODEL
) -> tuple[ExtinctionGroup, ...]:
    """Extinction groups of a cell's lattice, most probable first.

    Args:
        pattern: the scan.
        cell: refined, conventional, its centring known; its axes need not be those of a standard setting.
        zero_shift: degrees, as refined with the cell.
        model: of areas.

    Returns:
        All groups of the lattice; their probabilities sum to 1.

    Raises:
        InputError: no line of the cell lies within the scan, or its centring is unknown.
    """
    settings = settings_of(cell.lattice_system, cell.centring)
    if len({setting.group for setting in settings}) == 1:
        return (replace(settings[0].group, probability=1.0),)
    fit = pawley_fit(pattern, cell, zero_shift=zero_shift)
    return ranked(settings, rank_settings(fit, settings, pattern.wavelength, model), cell, model)


def ranked(
    settings: tuple[Setting, ...], log_likelihood: NDArray[np.float64], cell: UnitCell, model: AbsenceModel = MODEL
) -> tuple[ExtinctionGroup, ...]:
    """Groups with probabilities from the log likelihoods (s,) of their settings."""
    score = model.temper * log_likelihood + log_prior(settings, cell, model)
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
    size = [sum(frequencies[n - 1] for n in setting.group.space_groups) for setting in settings]
    variants = [sum(other.group == setting.group for other in settings) for setting in settings]
    prior = np.array(size) / np.array(variants)
    return np.log(prior / prior.sum())


def rank_settings(
    fit: PawleyFit, settings: tuple[Setting, ...], wavelength: float, model: AbsenceModel = MODEL
) -> NDArray[np.float64]:
    """ln of the likelihood (s,) of each setting, up to a constant common to all."""
    lines = fit.lines
    forbidden = np.array([lines.all_of(setting.absent(lines.hkl)) for setting in settings])
    scale = expected_areas(fit, wavelength)
    scale = scale * parity_factors(fit, scale, ~forbidden.any(0), model.parity)
    return _log_likelihood(fit, forbidden, scale, model)


def _log_likelihood(
    fit: PawleyFit, forbidden: NDArray[np.bool_], scale: NDArray[np.float64], model: AbsenceModel
) -> NDArray[np.float64]:
    """Sum over runs of overlapping lines, and for each class of lines what its common factor explains."""
    unit = float(fit.intensity.max(initial=0.0)) or 1.0
    tested = forbidden.any(0)
    signature = np.unique(forbidden, axis=1, return_inverse=True)[1].ravel()
    total = np.zeros(len(forbidden))
    factors = np.array([factor for _, factor in model.factors])
    by_class: dict[int, NDArray[np.float64]] = {}
    for cluster in clusters(fit.normal, tested):
        run = _Run.of(fit, cluster, scale, unit)
        kinds, which = np.unique(forbidden[:, cluster], axis=0, return_inverse=True)
        none = np.zeros(len(cluster), dtype=bool)
        values = np.array([run.evidence(absent, None, 1.0, model) for absent in kinds])
        total += values[which.ravel()]
        free = run.evidence(none, None, 1.0, model)
        for kind in np.unique(signature[cluster[tested[cluster]]]):
            own = signature[cluster] == kind
            gain = np.array([run.evidence(none, own, factor, model) for factor in factors]) - free
            by_class[int(kind)] = by_class.get(int(kind), np.zeros(len(factors))) + gain
    share = np.array([part for part, _ in model.factors])
    for kind, gain in by_class.items():
        present = ~forbidden[:, np.flatnonzero(signature == kind)[0]]
        total[present] += np.logaddexp.reduce(np.log(share) + gain)
    return total


@dataclass
class _Run:
    """Overlapping lines: their likelihood in units of the strongest line, and their expected areas."""

    normal: NDArray[np.float64]
    rhs: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, fit: PawleyFit, cluster: NDArray[np.int64], scale: NDArray[np.float64], unit: float) -> _Run:
        others = np.ones(len(fit.rhs), dtype=bool)
        others[cluster] = False
        normal = fit.normal[np.ix_(cluster, cluster)] * unit**2
        rhs = (fit.rhs[cluster] - fit.normal[cluster][:, others] @ fit.intensity[others]) * unit
        normal[np.diag_indices(len(cluster))] *= 1.0 + 1e-5
        normal[np.diag_indices(len(cluster))] += 1e-6
        return cls(normal, rhs, scale[cluster] / unit)

    def evidence(
        self, absent: NDArray[np.bool_], of_class: NDArray[np.bool_] | None, factor: float, model: AbsenceModel
    ) -> float:
        size = max(len(model.present), len(model.alike), 2)
        weights, scales = np.zeros((len(absent), size)), np.ones((len(absent), size))
        for j, (part, mean) in enumerate(model.present):
            weights[:, j], scales[:, j] = part, mean * self.scale
        if of_class is not None:
            weights[of_class] = 0.0
            for j, (part, mean) in enumerate(model.alike):
                weights[of_class, j], scales[of_class, j] = part, factor * mean * self.scale[of_class]
        weights[absent] = 0.0
        weights[absent, 0], scales[absent, 0] = 1.0 - model.contaminated, 0.0
        weights[absent, 1], scales[absent, 1] = model.contaminated, model.contamination
        return float(log_evidence(self.normal, self.rhs, weights, scales))


def expected_areas(fit: PawleyFit, wavelength: float) -> NDArray[np.float64]:
    """(n,) mean areas to expect: multiplicity x Lorentz-polarisation x A exp(-B Q), fitted to the areas found.

    A. J. C. Wilson, Nature 150, 152 (1942): the mean of |F|^2 falls smoothly with Q.
    """
    shape = fit.lines.multiplicity * lorentz_polarisation(fit.lines.q, wavelength)
    ratio = np.maximum(fit.intensity / shape, 0.0)
    q = fit.lines.q - fit.lines.q.mean()
    # Exponential regression by Newton's method; the ridge keeps B near what atoms and heat make it.
    a, b = np.log(max(ratio.mean(), 1e-300)), 2.0
    for _ in range(30):
        residual = np.minimum(ratio * np.exp(-np.clip(a - b * q, -700, 700)), 30.0) - 1.0
        gradient = np.array([residual.sum(), -(residual * q).sum() - (b - 2.0)])
        matrix = np.array([[len(q), -q.sum()], [-q.sum(), (q * q).sum() + 1.0]])
        step = np.linalg.solve(matrix, gradient)
        a, b = a + float(np.clip(step[0], -1, 1)), b + float(np.clip(step[1], -1, 1))
        if np.abs(step).max() < 1e-4:
            break
    return shape * np.exp(a - b * q)


def parity_factors(
    fit: PawleyFit, scale: NDArray[np.float64], untested: NDArray[np.bool_], weight: float
) -> NDArray[np.float64]:
    """(n,) how strong the lines with the same parities of indices are, of those that no group forbids.

    Atoms in special positions, superstructures and pseudo-centrings weaken whole parities (h - k modulo 3 on
    hexagonal axes): a line that would be weak anyway says little when it is not there.

    Args:
        scale: (n,) expected areas.
        untested: (n,) lines to learn from.
        weight: lines' worth of a factor of 1.
    """
    h, k, l = fit.lines.hkl.T  # noqa: E741
    if fit.lines.hexagonal:
        code = 2 * ((h - k) % 3 > 0) + l % 2
    else:
        code = 4 * (h % 2) + 2 * (k % 2) + l % 2
    keys = np.zeros(len(scale), dtype=np.int64)
    np.bitwise_or.at(keys, fit.lines.line, 1 << code)
    ratio = np.minimum(fit.intensity / np.maximum(scale, 1e-300), 5.0)
    factors = np.ones(len(scale))
    for key in np.unique(keys):
        members = keys == key
        known = ratio[members & untested]
        factors[members] = (known.sum() + weight) / (len(known) + weight)
    return factors


def clusters(normal: NDArray[np.float64], tested: NDArray[np.bool_], largest: int = 10) -> list[NDArray[np.int64]]:
    """Runs of lines that overlap, as index arrays: cut where correlation is least when they grow too long.

    Args:
        normal: (n, n) of the fit.
        tested: (n,) lines that some group forbids; a run holds at least one.
    """
    diagonal = np.sqrt(np.maximum(np.diag(normal), 1e-200))
    found = []
    n = len(diagonal)
    link = np.abs(np.diag(normal, 1)) / (diagonal[1:] * diagonal[:-1])
    pieces = np.split(np.arange(n), np.flatnonzero(link < 0.1) + 1)
    while pieces:
        piece = pieces.pop()
        if len(piece) > largest:
            cut = piece[0] + 1 + int(np.argmin(link[piece[0] : piece[-1]]))
            pieces += [piece[: cut - piece[0]], piece[cut - piece[0] :]]
        elif tested[piece].any():
            found.append(piece)
    return found

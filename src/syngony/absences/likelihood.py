"""How probable the areas of a lattice's lines are when some of them are forbidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.absences.group_settings import Setting
from syngony.absences.lattice_lines import LineAreas
from syngony.absences.line_evidence import log_evidence
from syngony.diffraction.reflections import lorentz_polarisation


@dataclass(frozen=True)
class AbsenceModel:
    """What the test takes areas to be; chosen on simulated scans of the training side.

    Mixtures are ((share, mean), ...) of exponentials; means are in units of the area to expect at that place
    (`expected_areas`).

    Attributes:
        present: mixture of the area of an allowed line.
        alike: the same within a class of lines (those that the same groups forbid), given the class's factor.
        factors: ((share, factor), ...), the first factor 1: atoms in special positions make whole classes weak.
        imitated: share of crystals that imitate another group, for each factor but the first.
        parity: how many lines' worth the parities' factor of 1 is: `parity_factors`.
        foreign: mixture of what lies at the places of forbidden lines, means in units of the strongest line: another
            phase, Kβ, an error of the profile. The rest of the places are empty.
        temper: exponent of the likelihood; lines are less independent than the test takes them to be.
        trust: exponent of the prior: what comes to a diffractometer is not distributed as what is in a database.
        smoothing: of the prior, see `space_group_frequencies`.
    """

    present: tuple[tuple[float, float], ...] = ((0.55, 2.2), (0.3, 1.0), (0.15, 0.0015))
    alike: tuple[tuple[float, float], ...] = ((0.09, 20.0), (0.53, 0.37), (0.38, 0.14))
    factors: tuple[tuple[float, float], ...] = ((0.859, 1.0), (0.139, 0.1), (0.001, 0.01), (0.001, 0.001))
    imitated: tuple[float, ...] = (0.21, 0.004, 0.001)
    parity: float = 0.75
    foreign: tuple[tuple[float, float], ...] = ((0.03, 0.024), (0.056, 0.0066))
    temper: float = 0.8
    trust: float = 0.85
    smoothing: float = 20.0


MODEL = AbsenceModel()

_EXPECTED = (1e-6, 30.0)  # areas relative to the strongest line: beyond, the regression has run away


@dataclass(frozen=True)
class ClassEvidence:
    """What the areas say of each setting and of each class of lines (those that the same settings forbid).

    Attributes:
        settings: (s,) ln of the evidence with every allowed line on its own.
        forbidden: (s, k) True where a setting forbids a class.
        gains: (k, f) by how much the evidence rises when all lines of an allowed class share each of the
            model's `factors`.
    """

    settings: NDArray[np.float64]
    forbidden: NDArray[np.bool_]
    gains: NDArray[np.float64]


def log_likelihood(
    areas: LineAreas,
    settings: tuple[Setting, ...],
    wavelength: float,
    log_prior: NDArray[np.float64],
    model: AbsenceModel = MODEL,
) -> NDArray[np.float64]:
    """ln of the likelihood (s,) of each setting, up to a constant common to all.

    Args:
        areas: of the lines.
        settings: s of them.
        wavelength: Å.
        log_prior: (s,): crystals imitate common groups more often than rare ones.
        model: of areas.
    """
    return combined(class_evidence(areas, settings, wavelength, model), log_prior, model)


def combined(evidence: ClassEvidence, log_prior: NDArray[np.float64], model: AbsenceModel) -> NDArray[np.float64]:
    """ln of the likelihood (s,) with classes that are weak one by one, and crystals that imitate another group.

    A crystal of lower symmetry is often nearly one of a higher one: then all lines that the other
    group forbids are weak together.
    """
    gains = model.temper * evidence.gains
    own = np.logaddexp.reduce(np.log(np.array(model.factors)[:, 0]) + gains, axis=1)
    base = model.temper * evidence.settings + (~evidence.forbidden) @ own
    if not len(own):
        return base
    share = np.array(model.imitated)
    total = base + np.log1p(-share.sum())
    for i, forbidden in enumerate(evidence.forbidden):
        # Those that forbid all that this one does and more.
        more = evidence.forbidden & ~forbidden
        others = np.flatnonzero(more.any(1) & (evidence.forbidden | ~forbidden).all(1))
        if len(others):
            weight = log_prior[others] - np.logaddexp.reduce(log_prior[others])
            weak = more[others].astype(float) @ (gains - own[:, None])[:, 1:]
            weak = weak + weight[:, None] + np.log(share)
            total[i] = np.logaddexp(total[i], base[i] + np.logaddexp.reduce(weak, axis=None))
        else:
            total[i] = base[i]
    return total


def class_evidence(
    areas: LineAreas, settings: tuple[Setting, ...], wavelength: float, model: AbsenceModel = MODEL
) -> ClassEvidence:
    """Evidence of settings and classes, summed over runs of overlapping lines."""
    lines = areas.lines
    forbidden = np.array([lines.all_of(setting.absent(lines.hkl)) for setting in settings])
    tested: NDArray[np.bool_] = np.asarray(forbidden.any(axis=0))
    if not areas.intensity.any():  # no line at all: nothing is known
        return ClassEvidence(np.zeros(len(forbidden)), forbidden[:, :0], np.zeros((0, len(model.factors))))
    scale = expected_areas(areas, wavelength)
    scale *= parity_factors(areas, scale, np.logical_not(tested), model.parity)
    unit = float(areas.intensity.max())
    kinds_of_lines, signature = np.unique(forbidden[:, tested], axis=1, return_inverse=True)
    kind_of = np.full(len(lines), -1)
    kind_of[tested] = signature.ravel()
    total = np.zeros(len(forbidden))
    factors = [factor for _, factor in model.factors]
    gains = np.zeros((kinds_of_lines.shape[1], len(factors)))
    for cluster in clusters(areas.normal, tested):
        run = _Run.of(areas, cluster, scale, unit)
        kinds, which = np.unique(forbidden[:, cluster], axis=0, return_inverse=True)
        none = np.zeros(len(cluster), dtype=bool)
        values = np.array([run.evidence(absent, None, 1.0, model) for absent in kinds])
        total += values[which.ravel()]
        free = run.evidence(none, None, 1.0, model)
        for kind in np.unique(kind_of[cluster[tested[cluster]]]):
            own = kind_of[cluster] == kind
            gains[kind] += [run.evidence(none, own, factor, model) - free for factor in factors]
    return ClassEvidence(total, kinds_of_lines, gains)


@dataclass
class _Run:
    """Overlapping lines: their likelihood in units of the strongest line, and their expected areas."""

    normal: NDArray[np.float64]
    rhs: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, areas: LineAreas, cluster: NDArray[np.int64], scale: NDArray[np.float64], unit: float) -> _Run:
        others = np.ones(len(areas.rhs), dtype=bool)
        others[cluster] = False
        normal = areas.normal[np.ix_(cluster, cluster)] * unit**2
        rhs = (areas.rhs[cluster] - areas.normal[cluster][:, others] @ areas.intensity[others]) * unit
        normal[np.diag_indices(len(cluster))] *= 1.0 + 1e-5
        normal[np.diag_indices(len(cluster))] += 1e-6
        return cls(normal, rhs, np.clip(scale[cluster] / unit, *_EXPECTED))

    def evidence(
        self, absent: NDArray[np.bool_], of_class: NDArray[np.bool_] | None, factor: float, model: AbsenceModel
    ) -> float:
        size = max(len(model.present), len(model.alike), len(model.foreign) + 1)
        weights, scales = np.zeros((len(absent), size)), np.ones((len(absent), size))
        for j, (part, mean) in enumerate(model.present):
            weights[:, j], scales[:, j] = part, mean * self.scale
        if of_class is not None:
            weights[of_class] = 0.0
            for j, (part, mean) in enumerate(model.alike):
                weights[of_class, j], scales[of_class, j] = part, factor * mean * self.scale[of_class]
        weights[absent] = 0.0
        weights[absent, 0], scales[absent, 0] = 1.0 - sum(part for part, _ in model.foreign), 0.0
        for j, (part, mean) in enumerate(model.foreign, 1):
            weights[absent, j], scales[absent, j] = part, mean
        return float(log_evidence(self.normal, self.rhs, weights, scales))


def expected_areas(areas: LineAreas, wavelength: float) -> NDArray[np.float64]:
    """(n,) mean areas to expect: multiplicity x Lorentz-polarisation x A exp(-B Q), fitted to the areas found.

    A. J. C. Wilson, Nature 150, 152 (1942): the mean of |F|^2 falls smoothly with Q.
    """
    shape = areas.lines.multiplicity * lorentz_polarisation(areas.lines.q, wavelength)
    ratio = np.maximum(areas.intensity / shape, 0.0)
    q = areas.lines.q - areas.lines.q.mean()
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
    areas: LineAreas, scale: NDArray[np.float64], untested: NDArray[np.bool_], weight: float
) -> NDArray[np.float64]:
    """(n,) how strong the lines with the same parities of indices are, of those that no group forbids.

    Atoms in special positions, superstructures and pseudo-centrings weaken whole parities (h - k modulo 3 on
    hexagonal axes): a line that would be weak anyway says little when it is not there.

    Args:
        scale: (n,) expected areas.
        untested: (n,) lines to learn from.
        weight: lines' worth of a factor of 1.
    """
    h, k, l = areas.lines.hkl.T  # noqa: E741
    if areas.lines.hexagonal:
        code = 2 * ((h - k) % 3 > 0) + l % 2
    else:
        code = 4 * (h % 2) + 2 * (k % 2) + l % 2
    keys = np.zeros(len(scale), dtype=np.int64)
    np.bitwise_or.at(keys, areas.lines.line, 1 << code)
    ratio = np.minimum(areas.intensity / np.maximum(scale, 1e-300), 5.0)
    factors = np.ones(len(scale))
    for key in np.unique(keys):
        members = keys == key
        known = ratio[members & untested]
        factors[members] = (known.sum() + weight) / (len(known) + weight)
    return factors


def clusters(normal: NDArray[np.float64], tested: NDArray[np.bool_], largest: int = 10) -> list[NDArray[np.int64]]:
    """Runs of lines that overlap, as index arrays: cut where correlation is least when they grow too long.

    Args:
        normal: (n, n) of the areas.
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

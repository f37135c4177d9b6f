"""Three kinds of evidence, one posterior over the 230 space groups.

The lattice search gives cells, each with a share of being right (a conditional logit, McFadden 1974) and, if it is,
probabilities of its extinction groups; a space group then has what its extinction group has, divided by how
frequent it is. With the share of no cell being right this is a likelihood L(g) for each space group g, and

    P(g) ~ network(g)^a (L(g) / prior(g))^b

where a and b, fitted, are below 1 as far as the two witnesses repeat each other, and depend on how well the best cell
explains the lines: one that leaves some unexplained says little. A known phase stands for its own
space group: its odds against nothing in the libraries being right are multiplied by what the other witnesses
say of that space group. All constants are in ``tables/joint_posterior.json``, fitted by
``benchmarks/joint_calibration.py`` on simulated laboratory scans of structures that nothing was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.determination.cells import CELL_FEATURES, cell_shares, constants_for
from syngony.determination.evidence import CellEvidence, Evidence
from syngony.extinction_groups import extinction_group_indices, extinction_groups, space_group_frequencies
from syngony.lattice.near_symmetry import NearLattice
from syngony.library.match import KnownPhase
from syngony.symmetry import CRYSTAL_SYSTEMS, SYSTEM_OF_GROUP
from syngony.unit_cell import LATTICE_SYSTEMS, UnitCell

N_GROUPS = 230
EXTINCTION_OF_GROUP = extinction_group_indices()
LATTICE_OF_GROUP = np.array([LATTICE_SYSTEMS.index(extinction_groups()[i].lattice_system) for i in EXTINCTION_OF_GROUP])
_INDEX = {group.symbol + group.lattice_system: i for i, group in enumerate(extinction_groups())}

_LEAST = 1e-12
TYPICAL_VOLUME = 200.0  # Å^3, primitive: where no cell tells

_LEAST_DEVIATION, _TYPICAL_DEVIATION = 0.002, 0.02  # Å

POWER_FEATURES = ("unexplained", "unindexed", "predicted", "lines", "volume", "cubic")
POWERS = 0.05, 4.5
"""Least and greatest power of a witness."""

PHASE_FEATURES = ("probability", "distortion", "missing", "unexplained", "unexplained by the cell")

_SMALL_LIBRARY, _LARGE_LIBRARY = 9_197, 155_038
"""Structures of the libraries of the fit. One that is smaller was chosen for the samples at hand: no rule for it."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What all evidence together says.

    Attributes:
        space_groups: (230,) probabilities.
        cell_shares: of each cell of the evidence, its probability of being right by the lattice search alone.
        cells: the same after all evidence: of what each space group has, the part that is by this cell.
        phases: of each known phase, its probability after all evidence.
        witnesses: system probabilities (7,) by kind of evidence, each for itself.
    """

    space_groups: NDArray[np.float64]
    cell_shares: NDArray[np.float64]
    phases: NDArray[np.float64]
    witnesses: dict[str, NDArray[np.float64]]
    cells: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @property
    def systems(self) -> NDArray[np.float64]:
        """(7,) probabilities of the crystal systems."""
        return systems_of(self.space_groups)

    @property
    def extinction_groups(self) -> NDArray[np.float64]:
        """(97,) probabilities, in the order of `extinction_groups()`."""
        return np.bincount(EXTINCTION_OF_GROUP, self.space_groups, len(extinction_groups())).astype(float)


def systems_of(space_groups: NDArray[np.float64]) -> NDArray[np.float64]:
    """(7,) sums of (230,) probabilities."""
    return np.bincount(SYSTEM_OF_GROUP, space_groups, len(CRYSTAL_SYSTEMS)).astype(float)


def lattice_likelihood(
    cells: Sequence[CellEvidence], table: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(230,) space groups by the lattice search alone, summing to 1; (k, 230) what of it is by each cell; (k,) shares.

    Args:
        cells: with their features and absences.
        table: of constants; its ``blank`` are (8, 7) factors on lattice systems where no cell is right, by the lattice
            system of the best cell or, last, where there is none: a pseudo-cubic cell hides other symmetries than a
            triclinic one.
    """
    shares, none = cell_shares([one.features for one in cells], table)
    blank = np.array(table["blank"][kind_of_best(cells)])[LATTICE_OF_GROUP]
    total = none * _normal(space_group_frequencies(TYPICAL_VOLUME) * blank)
    rule = table.get("near")
    parts = np.array([share * groups_of_cell(one, rule) for one, share in zip(cells, shares, strict=True)])
    parts = parts.reshape(-1, N_GROUPS)
    return total + parts.sum(0), parts, shares


def kind_of_best(cells: Sequence[CellEvidence]) -> int:
    """Index of the best cell's lattice system; one past the last where there is no cell."""
    return LATTICE_SYSTEMS.index(cells[0].cell.cell.lattice_system) if cells else len(LATTICE_SYSTEMS)


def groups_of_cell(one: CellEvidence, near_rule: dict[str, float] | None = None) -> NDArray[np.float64]:
    """(230,) space groups if this cell is right: its extinction groups, divided by frequency at its volume.

    Args:
        one: with its absences.
        near_rule: how likely the crystal is of a lattice that the cell is nearly of: see `chance_of_near`. Without it
            those are passed over.
    """
    groups = _groups_of_absences(one) if one.extinction_groups else _groups_of_lattice(one.cell.cell)
    if near_rule is None:
        return groups
    for near in one.near:
        chance = chance_of_near(near_features(near), near_rule)
        groups = (1.0 - chance) * groups + chance * _groups_of_lattice(near.cell)
    return groups


def near_features(near: NearLattice) -> dict[str, float]:
    """On what it depends whether a cell's deviation from a symmetry is meant; in numbers near 1 or below."""
    return {"one": 1.0, "deviation": math.log(max(near.deviation, _LEAST_DEVIATION) / _TYPICAL_DEVIATION)}


def chance_of_near(about: dict[str, float], rule: dict[str, float]) -> float:
    """Probability that a crystal is of the symmetry that its cell is nearly of: logistic."""
    return 1.0 / (1.0 + math.exp(-sum(rule[name] * value for name, value in about.items())))


def _groups_of_absences(one: CellEvidence) -> NDArray[np.float64]:
    """(230,) space groups of a cell's extinction groups, divided by frequency at its volume."""
    frequency = space_group_frequencies(one.cell.cell.primitive_volume)
    found = np.zeros(len(extinction_groups()))
    for group in one.extinction_groups:
        found[_INDEX[group.symbol + group.lattice_system]] = group.probability
    within = np.bincount(EXTINCTION_OF_GROUP, frequency, len(found))
    return _normal(frequency / within[EXTINCTION_OF_GROUP] * found[EXTINCTION_OF_GROUP])


def _groups_of_lattice(cell: UnitCell) -> NDArray[np.float64]:
    """(230,) space groups of a cell's lattice system by their frequency at its volume."""
    frequency = space_group_frequencies(cell.primitive_volume)
    return _normal(np.where(LATTICE_SYSTEMS.index(cell.lattice_system) == LATTICE_OF_GROUP, frequency, 0.0))


def combine(evidence: Evidence, kinds: Sequence[str] | None = None, table: dict[str, Any] | None = None) -> Posterior:
    """The posterior.

    Args:
        evidence: gathered.
        kinds: which of `evidence.KINDS` to use, for ablation; all that were asked when omitted.
        table: of constants, in place of those that are shipped.
    """
    use = {
        "network": evidence.scores is not None,
        "lattice": evidence.indexing is not None,
        "library": evidence.phases is not None,
    }
    if kinds is not None:
        use = {name: there and name in kinds for name, there in use.items()}
    table = constants_for(evidence.calculated, table)
    prior = _normal(space_group_frequencies(TYPICAL_VOLUME))
    witnesses: dict[str, NDArray[np.float64]] = {}
    network = np.full(N_GROUPS, np.nan)
    if use["network"]:
        assert evidence.scores is not None
        network = _groups_of_scores(evidence.scores.systems[0], evidence.scores.space_groups, prior)
        witnesses["network"] = systems_of(network)
    lattice, parts, shares = prior, np.empty((0, N_GROUPS)), np.empty(0)
    if use["lattice"]:
        lattice, parts, shares = lattice_likelihood(evidence.cells, table)
        witnesses["lattice"] = systems_of(lattice)
    weights = table["powers"][pair_name(use["network"], use["lattice"])]
    about = power_features(evidence.cells) if use["lattice"] else {"one": 1.0}
    others = pooled(
        network if use["network"] else prior,
        lattice,
        prior,
        power(about, weights["network"]),
        power(about, weights["lattice"]),
    )
    chances = np.empty(0)
    total = others
    if use["library"] and evidence.phases:
        first = [p for p in evidence.phases if p.component == 1]
        numbers = np.array([p.space_group - 1 for p in first], dtype=int)
        given = np.array([p.probability for p in first])
        support = others if use["network"] or use["lattice"] else prior
        seen = phase_features(first, evidence.cells if use["lattice"] else ())
        support_of = log_support(support, numbers, prior)
        found, none = phase_chances(given, support_of, seen, evidence.entries, table["library"])
        total = none * others + np.bincount(numbers, found, N_GROUPS) * (1.0 - table["library"]["slip"])
        total += table["library"]["slip"] * found.sum() * others
        witnesses["library"] = systems_of(np.bincount(numbers, given, N_GROUPS) + max(0.0, 1.0 - given.sum()) * prior)
        chances = np.array([found[first.index(p)] if p in first else 0.0 for p in evidence.phases])
    total = _normal(total)
    return Posterior(total, shares, chances, witnesses, parts @ (total / lattice))


def pair_name(network: bool, lattice: bool) -> str:
    """Key of the powers for the witnesses that are not the library."""
    return "+".join(name for name, used in (("network", network), ("lattice", lattice)) if used) or "prior"


def power_features(cells: Sequence[CellEvidence]) -> dict[str, float]:
    """On what the powers depend: some of `CELL_FEATURES` of the best cell, or that there is none."""
    if not cells:
        return {"no cell": 1.0}
    of_best = dict(zip(CELL_FEATURES, cells[0].features.tolist(), strict=True))
    return {"one": 1.0, **{name: of_best[name] for name in POWER_FEATURES}}


def power(about: dict[str, float], weights: dict[str, float]) -> float:
    """The power of a witness: the exponential of a weighted sum, within `POWERS`."""
    low, high = (math.log(end) for end in POWERS)
    return math.exp(min(max(sum(weights.get(name, 0.0) * value for name, value in about.items()), low), high))


def pooled(
    network: NDArray[np.float64], lattice: NDArray[np.float64], prior: NDArray[np.float64], a: float, b: float
) -> NDArray[np.float64]:
    """(230,) network^a (lattice / prior)^b, normalised."""
    log = a * np.log(np.maximum(network, _LEAST)) + b * log_ratio(lattice, prior)
    return _normal(np.exp(log - log.max()))


def log_ratio(lattice: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """(230,) logarithm of how much likelier the lattice search makes each space group than it is of itself."""
    return np.log(np.maximum(lattice, _LEAST * prior) / prior)


def phase_features(phases: Sequence[KnownPhase], cells: Sequence[CellEvidence]) -> NDArray[np.float64]:
    """(k, len(PHASE_FEATURES)) how known phases fit, in numbers near 1 or below, and how the best cell does."""
    of_cell = float(cells[0].features[CELL_FEATURES.index("unexplained")]) if cells else 0.0
    fits = [
        (
            p.probability,
            20.0 * min(p.distortion, 0.05),
            p.missing,
            math.log(0.01 + max(p.unexplained, 0.0)) / 4.0,
            of_cell,
        )
        for p in phases
    ]
    return np.array(fits).reshape(-1, len(PHASE_FEATURES))


def phase_chances(
    given: NDArray[np.float64],
    support: NDArray[np.float64],
    seen: NDArray[np.float64],
    entries: int,
    rule: dict[str, float],
) -> tuple[NDArray[np.float64], float]:
    """(k,) probabilities of known phases after all evidence, and that of none being right.

    Args:
        given: (k,) probabilities by the libraries alone.
        support: (k,) logarithms of how much likelier other evidence makes the phases' space groups.
        seen: (k, len(PHASE_FEATURES)), see `phase_features`.
        entries: structures in the libraries: a large one is likelier to hold the sample.
        rule: slope and offset on the logit of `given`, power on the support, size on the number of entries, and
            weights of `PHASE_FEATURES`.
    """
    log_odds = rule["slope"] * log_odds_given(given) + rule["offset"]
    log_odds += rule["size"] * size_of_libraries(entries) + rule["power"] * support
    log_odds += seen @ np.array([rule[name] for name in PHASE_FEATURES])
    odds = np.exp(np.clip(log_odds, -30.0, 30.0))
    return odds / (1.0 + odds.sum()), 1.0 / (1.0 + float(odds.sum()))


def log_odds_given(given: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k,) logarithms of the odds of known phases against none being right, by the libraries alone."""
    return np.log(np.maximum(given, 1e-6) / max(1.0 - float(given.sum()), 1e-4))


def log_support(
    others: NDArray[np.float64], groups: NDArray[np.int64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(k,) logarithms of how much likelier than of themselves the others' (230,) make the phases' space groups."""
    return np.log(np.maximum(others[groups], 1e-9) / prior[groups])


def size_of_libraries(entries: int) -> float:
    """Logarithm of the number of structures beside that of the large library of the fit, within the two of it."""
    return math.log(min(max(entries, _SMALL_LIBRARY), _LARGE_LIBRARY) / _LARGE_LIBRARY)


def _groups_of_scores(
    systems: NDArray[np.float64], space_groups: NDArray[np.float64] | None, prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    if space_groups is not None:
        return space_groups[0]
    share = prior / np.bincount(SYSTEM_OF_GROUP, prior)[SYSTEM_OF_GROUP]  # a network that tells systems alone
    return _normal(share * systems[SYSTEM_OF_GROUP])


def _normal(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = float(weights.sum())
    return weights / total if math.isfinite(total) and total > 0 else np.full(len(weights), 1.0 / len(weights))

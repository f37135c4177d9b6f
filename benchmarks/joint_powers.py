"""The fit of the powers of network and lattice, which depend on what the best cell leaves unexplained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from joint_rows import Row
from numpy.typing import NDArray
from scipy.optimize import minimize

from syngony.determination.posterior import (
    EXTINCTION_OF_GROUP,
    POWER_FEATURES,
    POWERS,
    TYPICAL_VOLUME,
    lattice_likelihood,
    log_ratio,
    pair_name,
    power_features,
)
from syngony.extinction_groups import space_group_frequencies
from syngony.symmetry import SYSTEM_OF_GROUP

RIDGE = 1.0
"""On each weight but the constant ones, beside a surprise that is summed over scans."""

_NAMES = ("one", "no cell", *POWER_FEATURES)
_LEAST = 1e-12
_SYSTEMS = np.eye(SYSTEM_OF_GROUP.max() + 1)[SYSTEM_OF_GROUP]
_EXTINCTION = np.eye(EXTINCTION_OF_GROUP.max() + 1)[EXTINCTION_OF_GROUP]


@dataclass(frozen=True, eq=False)
class Pool:
    """What is pooled of n scans.

    Attributes:
        network, lattice: (n, 230) logarithms of probabilities, and of ratios to the prior.
        about: (n, len(_NAMES)) features of the powers, those of cells less their means.
        means: (len(_NAMES),) what was taken off.
        truth: (n,) space group indices.
    """

    network: NDArray[np.float64]
    lattice: NDArray[np.float64]
    about: NDArray[np.float64]
    means: NDArray[np.float64]
    truth: NDArray[np.int64]


def gathered(rows: list[Row], table: dict[str, Any], network: bool, lattice: bool) -> Pool:
    """What two witnesses say of scans; the prior in place of one that is not asked."""
    prior = space_group_frequencies(TYPICAL_VOLUME)
    prior = prior / prior.sum()
    said = [row.evidence.scores.space_groups[0] if network else prior for row in rows]  # type: ignore[union-attr,index]
    found = [lattice_likelihood(row.evidence.cells, table)[0] if lattice else prior for row in rows]
    seen = [power_features(row.evidence.cells) if lattice else {"one": 1.0} for row in rows]
    about = np.array([[features.get(name, 0.0) for name in _NAMES] for features in seen])
    with_cell = about[:, 0] > 0
    means = np.where(np.arange(len(_NAMES)) < 2, 0.0, about[with_cell].mean(0))
    about[with_cell] -= means
    return Pool(
        np.log(np.maximum(np.array(said), _LEAST)),
        np.array([log_ratio(one, prior) for one in found]),
        about,
        means,
        np.array([row.truth - 1 for row in rows]),
    )


def posterior(weights: NDArray[np.float64], pool: Pool) -> NDArray[np.float64]:
    """(n, 230) probabilities; weights of the network's power, then of the lattice's."""
    of_network, of_lattice = np.clip(np.exp(pool.about @ weights.reshape(2, -1).T), *POWERS).T
    log = of_network[:, None] * pool.network + of_lattice[:, None] * pool.lattice
    shares = np.exp(log - log.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def loss(weights: NDArray[np.float64], pool: Pool) -> float:
    """Surprise, as in `joint_calibration.surprise`, and the ridge."""
    groups, each = posterior(weights, pool), np.arange(len(pool.truth))
    system = (groups @ _SYSTEMS)[each, SYSTEM_OF_GROUP[pool.truth]]
    extinction = (groups @ _EXTINCTION)[each, EXTINCTION_OF_GROUP[pool.truth]]
    logs = np.log(np.maximum([system, extinction, groups[each, pool.truth]], 1e-6))
    free = weights.reshape(2, -1)[:, 2:]
    return float(-(logs[0] + 0.5 * logs[1] + 0.5 * logs[2]).mean() + RIDGE * (free**2).sum() / len(each))


def fit_powers(rows: list[Row], table: dict[str, Any], features: tuple[str, ...] = ()) -> None:
    """Weights of the powers of network and lattice, for either alone and for both.

    Args:
        rows: scans of the fit.
        table: of constants; those of the powers are written.
        features: of `POWER_FEATURES`, on which the powers are to depend.
    """
    for network, lattice in ((True, False), (False, True), (True, True)):
        names = ("one", "no cell", *features) if lattice else ("one",)
        used = np.flatnonzero(np.tile([name in names for name in _NAMES], 2))
        pool = gathered(rows, table, network, lattice)

        def of_used(x: NDArray[np.float64], pool: Pool = pool, used: NDArray[np.int64] = used) -> float:
            return loss(_spread(x, used), pool)

        found = minimize(of_used, np.zeros(len(used)), method="L-BFGS-B")
        given = _spread(found.x, used).reshape(2, -1)
        given[:, 0] -= given @ pool.means
        table["powers"][pair_name(network, lattice)] = {
            witness: {name: value for name, value in zip(_NAMES, np.round(w, 4).tolist(), strict=True) if value}
            for witness, w in zip(("network", "lattice"), given, strict=True)
        }
    print(f"powers: {table['powers']['network+lattice']}", flush=True)


def _spread(x: NDArray[np.float64], used: NDArray[np.int64]) -> NDArray[np.float64]:
    weights = np.zeros(2 * len(_NAMES))
    weights[used] = x
    return weights

"""Published figures of merit of an indexed pattern."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def de_wolff(q_observed: Array, q_calculated: Array, possible: int, q_last: float) -> float:
    """M_N = Q_N / (2 <|ΔQ|> N_poss), P. M. de Wolff, J. Appl. Cryst. 1, 108 (1968).

    Args:
        q_observed, q_calculated: (n,) 1/Å^2 of the indexed lines among the first N.
        possible: distinct lines that the cell predicts up to the N-th.
        q_last: Q of the N-th line, 1/Å^2.

    Returns:
        Infinite where observed and calculated are the same; 0 without any line.
    """
    if len(q_observed) == 0 or possible == 0:
        return 0.0
    difference = float(np.abs(q_observed - q_calculated).mean())
    return q_last / (2.0 * difference * possible) if difference > 0 else float("inf")


def smith_snyder(two_theta_observed: Array, two_theta_calculated: Array, possible: int, lines: int) -> float:
    """F_N = (1 / <|Δ2θ|>) (N / N_poss), G. S. Smith & R. L. Snyder, J. Appl. Cryst. 12, 60 (1979).

    Args:
        two_theta_observed, two_theta_calculated: (n,) degrees of the indexed lines.
        possible: distinct lines that the cell predicts up to the last.
        lines: N, the lines asked for, indexed or not.
    """
    if len(two_theta_observed) == 0 or possible == 0:
        return 0.0
    difference = float(np.abs(two_theta_observed - two_theta_calculated).mean())
    return lines / (difference * possible) if difference > 0 else float("inf")

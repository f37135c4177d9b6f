"""Logistic regression with a ridge, for the fits of the joint posterior."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize


def logistic(x: np.ndarray, y: np.ndarray, ridge: float = 0.5) -> np.ndarray:
    """Weights, the last one the constant."""
    x = np.column_stack([x, np.ones(len(x))])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = np.where(y, 1.0, -1.0) * (x @ w)
        share = 1.0 / (1.0 + np.exp(z))
        slope = -(np.where(y, 1.0, -1.0) * share) @ x + 2.0 * ridge * np.append(w[:-1], 0.0)
        return float(np.logaddexp(0.0, -z).sum() + ridge * w[:-1] @ w[:-1]), slope

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x

"""Chemical elements: symbols and X-ray scattering factors, read from ``tables/form_factors.json``."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

_TABLE = json.loads(files("syngony").joinpath("tables/form_factors.json").read_text())["elements"]

ELEMENTS: tuple[str, ...] = tuple(_TABLE)
"""Symbols with known scattering factors, H to Cf, with D for deuterium; position is the element index."""

ELEMENT_INDEX: dict[str, int] = {symbol: index for index, symbol in enumerate(ELEMENTS)}

ATOMIC_NUMBER: NDArray[np.float64] = np.array([float(entry["Z"]) for entry in _TABLE.values()])
"""(n_elements,) atomic numbers."""

SCATTERING_A: NDArray[np.float64] = np.array([entry["a"] for entry in _TABLE.values()], dtype=float)
SCATTERING_B: NDArray[np.float64] = np.array([entry["b"] for entry in _TABLE.values()], dtype=float)
"""(n_elements, 4) coefficients of f(s) = Z - 41.78214 s^2 sum a exp(-b s^2), s = sin(theta)/lambda."""

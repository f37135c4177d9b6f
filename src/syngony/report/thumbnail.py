"""A scan as a small picture in SVG."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 120, 32


def thumbnail(intensity: NDArray[np.floating]) -> str:
    """SVG of a scan (n,): the highest point of each of 120 stretches, on a root scale that shows weak lines."""
    edges = np.linspace(0, len(intensity), min(WIDTH, len(intensity)) + 1).astype(int)[:-1]
    tops = np.sqrt(np.maximum(np.maximum.reduceat(intensity, edges), 0.0))
    low, high = float(tops.min()), float(tops.max())
    heights = HEIGHT - 1 - (HEIGHT - 2) * (tops - low) / max(high - low, 1e-30)
    steps = WIDTH / max(len(tops) - 1, 1)
    path = " ".join(f"{i * steps:.0f},{y:.1f}" for i, y in enumerate(heights))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true"><path d="M{path}"/></svg>'
    )

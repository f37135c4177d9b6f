"""Where on a scan its network looks: what changes when a stretch of it is hidden.

Each stretch in turn is replaced by the background (occlusion, Zeiler & Fergus 2014, arXiv 1311.2901) and the network
is asked again. That needs no gradient, so it works for every ONNX network and every view. It is evidence of attention
and not of physics: a network may rest on a line for reasons that no crystallographer would accept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.inference import Network
from syngony.lines.background import separate_background
from syngony.pattern import Pattern
from syngony.symmetry import CRYSTAL_SYSTEMS

STRETCHES = 60
"""Parts that a scan is hidden in, two at a time."""

_LEAST = 1e-6  # probability, so that logarithms are finite


@dataclass(frozen=True, eq=False)
class Attribution:
    """What a network's own answer rests on.

    Attributes:
        system: that the network by itself finds likeliest.
        probability: that it gives it.
        edges: (k + 1,) degrees of 2θ, of the stretches.
        weight: (k,) by how much the logarithm of that probability falls when a stretch is hidden: above zero where
            the scan speaks for the system, below where it speaks against it.
    """

    system: str
    probability: float
    edges: NDArray[np.float64]
    weight: NDArray[np.float64]


def attribution_of(pattern: Pattern, network: Network, stretches: int = STRETCHES) -> Attribution:
    """Ask a network again with each stretch of a scan hidden.

    Args:
        pattern: the scan.
        network: any.
        stretches: how many; a hidden window is two of them wide and moves by one.

    Raises:
        PatternError: the network sees nothing of the scan.
    """
    angles, counts = pattern.two_theta, pattern.intensity
    background, _ = separate_background(pattern)
    edges = np.linspace(angles[0], angles[-1], stretches + 1)
    inputs = [network.view.from_scan(angles, counts, pattern.wavelength)]
    windows = []
    for place in range(stretches - 1):
        hidden = (angles >= edges[place]) & (angles <= edges[place + 2])
        try:
            inputs.append(network.view.from_scan(angles, np.where(hidden, background, counts), pattern.wavelength))
        except PatternError:  # nothing of the scan is left
            continue
        windows.append(place)
    systems = np.concatenate([scores.systems for scores in network.scores_in_batches(inputs)])
    best = int(systems[0].argmax())
    logarithms = np.log(np.maximum(systems[:, best], _LEAST))
    weight, covered = np.zeros(stretches), np.zeros(stretches)
    for place, fall in zip(windows, logarithms[0] - logarithms[1:], strict=True):
        weight[place : place + 2] += fall
        covered[place : place + 2] += 1
    return Attribution(CRYSTAL_SYSTEMS[best], float(systems[0, best]), edges, weight / np.maximum(covered, 1))


_WIDTH, _HEIGHT, _POINTS = 900.0, 150.0, 900
_FOR, _AGAINST = "#d55e00", "#0072b2"


def attribution_svg(pattern: Pattern, found: Attribution) -> Markup:
    """The scan (square root of intensities) over stretches coloured by their weight; nothing in it is text of users."""
    low, high = float(pattern.two_theta[0]), float(pattern.two_theta[-1])

    def x(angle: float) -> float:
        return _WIDTH * (angle - low) / (high - low)

    reach = max(float(np.abs(found.weight).max()), 1e-9)
    parts = []
    for left, right, weight in zip(found.edges[:-1], found.edges[1:], found.weight, strict=True):
        colour = _FOR if weight > 0 else _AGAINST
        parts.append(
            f'<rect x="{x(left):.1f}" y="0" width="{x(right) - x(left) + 0.3:.1f}" height="{_HEIGHT:.0f}" '
            f'fill="{colour}" fill-opacity="{0.85 * abs(weight) / reach:.3f}"/>'
        )
    edges = np.linspace(0, len(pattern), min(_POINTS, len(pattern)) + 1).astype(int)[:-1]
    roots = np.sqrt(np.maximum(np.maximum.reduceat(pattern.intensity, edges), 0.0))
    heights = _HEIGHT - 4 - (_HEIGHT - 8) * (roots - roots.min()) / max(float(np.ptp(roots)), 1e-30)
    points = " ".join(f"{x(a):.1f},{y:.1f}" for a, y in zip(pattern.two_theta[edges].tolist(), heights, strict=True))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#1d2429" stroke-width="1"/>')
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (high - low) / s <= 12)
    for tick in range(int(np.ceil(low / step)) * step, int(high) + 1, step):
        place = min(max(x(tick), 14.0), _WIDTH - 14.0)  # whole at the ends
        parts.append(
            f'<text x="{place:.1f}" y="{_HEIGHT + 16:.0f}" font-size="12" text-anchor="middle" '
            f'fill="#57636b">{tick}°</text>'
        )
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT + 20:.0f}" width="100%" role="img" '
        f'aria-label="Scan over stretches coloured by what they say to the network">{"".join(parts)}</svg>'
    )


def attribution_html(pattern: Pattern, network: Network) -> Markup:
    """A fold for the report; empty where the network sees nothing of the scan."""
    from syngony.report.rendering import environment

    try:
        network = network.suited_to(pattern)
        found = attribution_of(pattern, network)
    except PatternError:
        return Markup("")
    template = environment().get_template("attribution.html")
    text = template.render(found=found, network=network.name, picture=attribution_svg(pattern, found))
    return Markup(text)

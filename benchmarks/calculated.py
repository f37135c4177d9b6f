"""How networks do on scans that a program calculated, of several kinds, on the validation side.

    python benchmarks/calculated.py ../shared/data/materials_project.parquet --beside mine.onnx

The paper's patterns whole and from 10 to 80 degrees, pseudo-Voigts of drawn widths in two ranges, broad ones, a scan of
molybdenum radiation, and `Laboratory.draw_calculated`. A network that is asked about calculated scans in place of
another must be better on all of them, not on the kind that it learned from. Crystal system / space group, %, and mean
surprise of the system: the negative logarithm of the probability of the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from footer import footer, load_now

from syngony.diffraction.laboratory import Laboratory, measure
from syngony.diffraction.profile import PaperGrid, stick_pattern
from syngony.diffraction.varied_profiles import VariedProfiles
from syngony.inference import Network
from syngony.learning.line_cache import LineCache
from syngony.learning.recipes import lines_seen
from syngony.learning.split import sides_of
from syngony.pattern import Pattern, two_theta_from_q
from syngony.scatter import is_calculated
from syngony.symmetry import crystal_system_index
from syngony.wavelengths import TUBE_LINES

COPPER, MOLYBDENUM = TUBE_LINES["CuKa"], TUBE_LINES["MoKa1"]


def scans_of(table: LineCache, row: int, rng: np.random.Generator) -> Iterator[tuple[str, Pattern]]:
    """Calculated scans of one structure, by kind."""
    q, intensity = table.lines(row)
    lines = two_theta_from_q(q, COPPER), intensity
    grid = PaperGrid()
    paper = stick_pattern(*lines, grid)
    yield "the paper's, 0-90", Pattern(grid.two_theta, paper, COPPER)
    middle = (grid.two_theta >= 10) & (grid.two_theta <= 80)
    yield "the paper's, 10-80", Pattern(grid.two_theta[middle], paper[middle], COPPER)
    narrow, broad, sharp = (
        VariedProfiles(),
        VariedProfiles(u=(0.02, 0.2), w=(0.05, 0.3)),
        VariedProfiles(u=(0.001, 0.01), w=(0.001, 0.005)),
    )
    angles, heights = narrow.pattern(*lines, (5.0, 90.0), rng)
    yield "pseudo-Voigts, 5-90", Pattern(angles, heights, COPPER)
    middle = (angles >= 15) & (angles <= 70)
    yield "pseudo-Voigts, 15-70", Pattern(angles[middle], heights[middle], COPPER)
    yield "broad pseudo-Voigts, 5-90", Pattern(*broad.pattern(*lines, (5.0, 90.0), rng), COPPER)
    hard = two_theta_from_q(q, MOLYBDENUM), intensity
    yield "pseudo-Voigts, MoKa1, 3-38", Pattern(*sharp.pattern(*hard, (3.0, 38.0), rng), MOLYBDENUM)
    yield "drawn laboratory", Pattern(*measure(table.phase(row), Laboratory().draw_calculated(rng), rng))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--beside", nargs="*", default=[], help="networks that are compared with syngony")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--limit", type=int, default=700)
    arguments = parser.parse_args()
    networks = [Network.load(name) for name in ("syngony", *arguments.beside)]
    table = lines_seen(networks[0].view, arguments.structures, arguments.cache)
    rows = np.flatnonzero(sides_of(table.formula) == "validation")
    rows = rows[:: max(1, len(rows) // arguments.limit)]
    found: dict[str, list[list[float]]] = {}
    for number, row in enumerate(rows):
        group = int(table.space_group[row])
        system = crystal_system_index(group)
        for kind, scan in scans_of(table, int(row), np.random.default_rng(number)):
            if scan.intensity.max() <= 0:
                continue
            figures = [float(is_calculated(scan))]
            for network in networks:
                scores = network.scores(network.view(scan)[None])
                groups = np.zeros(230) if scores.space_groups is None else scores.space_groups[0]
                chance = scores.systems[0, system]
                right = scores.systems[0].argmax() == system, groups.argmax() + 1 == group
                figures += [*map(float, right), float(-np.log(max(chance, 1e-12)))]
            found.setdefault(kind, []).append(figures)
    print(f"| calculated scans | n | seen to be | {' | '.join(f'{n.name} | surprise' for n in networks)} |")
    print(f"|---|---|---|{'---|---|' * len(networks)}")
    for kind, figures in found.items():
        mean = np.mean(figures, axis=0)
        cells = [
            f"{100 * mean[i]:.1f} / {100 * mean[i + 1]:.1f} | {mean[i + 2]:.3f}" for i in range(1, len(mean), 3)
        ]  # fmt: skip
        print(f"| {kind} | {len(figures)} | {100 * mean[0]:.0f} % | {' | '.join(cells)} |")
    print(f"\n{footer(load_now(), ('numpy', 'onnxruntime'))}")


if __name__ == "__main__":
    main()

"""Make the example scans of this folder: simulated from textbook cells by Syngony's own laboratory.

    python examples/make_scans.py

None of them was measured. Cells and coordinates: R. W. G. Wyckoff, Crystal Structures (1963-71).
"""

from pathlib import Path

import numpy as np

from syngony.diffraction.laboratory import Conditions, Phase, measure, tube
from syngony.structure import Structure

F_CENTRING = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])

STRUCTURES = {
    "rutile": Structure.from_parameters(
        (4.594, 4.594, 2.959, 90, 90, 90),
        ["Ti"] * 2 + ["O"] * 4,
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]],
    ),
    "halite": Structure.from_parameters(
        (5.640, 5.640, 5.640, 90, 90, 90),
        ["Na"] * 4 + ["Cl"] * 4,
        np.concatenate([F_CENTRING, (F_CENTRING + [0.5, 0, 0]) % 1]),
    ),
    "quartz": Structure.from_parameters(
        (4.913, 4.913, 5.405, 90, 90, 120),
        ["Si"] * 3 + ["O"] * 6,
        [
            [0.470, 0, 1 / 3], [0, 0.470, 2 / 3], [0.530, 0.530, 0],
            [0.414, 0.268, 0.452], [0.732, 0.146, 0.785], [0.854, 0.586, 0.119],
            [0.268, 0.414, 0.548], [0.146, 0.732, 0.215], [0.586, 0.854, 0.881],
        ],
    ),
}  # fmt: skip

INSTRUMENT = Conditions(
    start=10.0, stop=90.0, step=0.02, radiation=tube("Cu"), zero_shift=0.01, displacement=-0.02, gauss_fwhm=0.06,
    size=0.04, strain=0.05, grain_spread=0.1, debye_waller=0.5, counts=5000.0, background=0.02, slope=-0.2,
    air_scatter=0.03,
)  # fmt: skip


def main() -> None:
    for seed, (name, structure) in enumerate(STRUCTURES.items()):
        scan = measure(Phase.from_structure(structure), INSTRUMENT, np.random.default_rng(seed))
        points = zip(scan.two_theta, scan.intensity, strict=True)
        text = "".join(f"{angle:.3f} {counts:.0f}\n" for angle, counts in points)
        header = f"# {name}, simulated by Syngony from a textbook cell; not a measurement\n# Wavelength: CuKa doublet\n"
        (Path(__file__).parent / f"{name}.xy").write_text(header + text)


if __name__ == "__main__":
    main()

"""Is the simulated laboratory a real one? Drawn scans and measured scans side by side.

    python benchmarks/realism.py ../shared/data/materials_project.parquet \
        ../shared/data/measured_patterns.parquet -o runs/realism

One peak finder and the same estimates for both, copper radiation only. Prints quantiles and draws
``realism.png`` (distributions) and ``scans.png`` (some of each). Measured scans are compared with,
never fitted to: the ranges of `Laboratory` stand on the reasons in its docstring, and this figure
shows where they agree with the world and where not.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.signal import find_peaks, peak_widths

from syngony.diffraction.laboratory import Laboratory, measure
from syngony.diffraction.phase import Phase
from syngony.errors import StructureError
from syngony.structure_table import StructureRecord, read_table
from syngony.views.background import opening_background

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
COPPER = (1.53, 1.55)

MEASURES = {
    "width": "FWHM, median of clear lines (deg)",
    "width_low": "... of lines at 15-40 deg",
    "width_mid": "... at 40-65 deg",
    "width_high": "... at 65-90 deg",
    "background": "background, median, of strongest",
    "background_low": "background at the start, of strongest",
    "noise": "noise between lines, of strongest",
    "correlation": "noise correlation of neighbours",
    "zeros": "share of points at zero or below",
    "lines_5": "lines above 5 %",
    "lines_2": "lines above 2 %",
    "lines_1": "lines above 1 %",
    "spikes": "one-point spikes",
    "first": "first angle (deg)",
    "last": "last angle (deg)",
    "step": "step (deg)",
}
LOGARITHMIC = {"width", "width_low", "width_mid", "width_high", "background", "background_low", "noise"}


Scans = list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]


def measured(path: Path) -> Scans:
    """Measured scans with copper radiation: name, 2θ up to 92 degrees, intensity."""
    found: Scans = []
    for row in pq.read_table(path).to_pylist():
        if COPPER[0] < row["wavelength"] < COPPER[1]:
            two_theta, intensity = np.array(row["two_theta"], float), np.array(row["intensity"], float)
            kept = two_theta <= 92
            found.append((row["material"] or row["pattern_id"], two_theta[kept], intensity[kept]))
    return found


def simulated(path: Path, number: int, seed: int = 0) -> Scans:
    """As many drawn scans of drawn structures, copper radiation only."""
    laboratory = replace(Laboratory(), tubes=(("Cu", 1.0),), synchrotron_share=0.0)
    table = read_table(path)
    rows = np.sort(np.random.default_rng(seed).choice(table.num_rows, min(number, table.num_rows), replace=False))
    found: Scans = []
    previous = None
    for position, row in enumerate(table.take(rows).to_pylist()):
        try:
            phase = Phase.from_structure(StructureRecord.from_row(row).structure)
        except StructureError:
            continue
        rng = np.random.default_rng((seed, position))
        scan = measure(phase, laboratory.draw(rng), rng, impurity=previous)
        found.append((row["formula"], scan.two_theta, scan.intensity))
        previous = phase
    return found


def features(two_theta: NDArray[np.float64], intensity: NDArray[np.float64]) -> dict[str, float]:
    """What the comparison looks at, of one scan on a regular grid."""
    step = float(np.median(np.diff(two_theta)))
    smooth = gaussian_filter1d(intensity, max(0.5, 0.02 / step))
    below = opening_background(intensity, step)
    net = smooth - below
    top = float(net.max())
    quiet = net < np.quantile(net, 0.5)
    residual = (intensity - median_filter(intensity, max(3, round(0.3 / step))))[quiet]
    noise = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    # Integer columns whose scatter is under one unit have a median deviation of zero.
    noise = noise or float(np.std(np.clip(residual, *np.quantile(residual, [0.02, 0.98]))))
    both = quiet[1:] & quiet[:-1]
    flat = intensity - median_filter(intensity, max(3, round(0.3 / step)))
    pairs = flat[1:][both], flat[:-1][both]
    correlation = float(np.corrcoef(*pairs)[0, 1]) if min(map(np.std, pairs)) > 0 else float("nan")
    found = {}
    scatter = 1.4826 * float(np.median(np.abs(net[quiet] - np.median(net[quiet]))))
    for percent in (5, 2, 1):
        peaks, _ = find_peaks(net, prominence=max(percent / 100 * top, 5 * scatter))
        found[f"lines_{percent}"] = float(len(peaks))
    peaks, _ = find_peaks(net, prominence=max(0.1 * top, 10 * scatter))
    # The smoothing before the peak finder is taken out in squares.
    square = peak_widths(net, peaks, 0.5)[0] ** 2 - (2.355 * max(0.5, 0.02 / step)) ** 2
    widths = np.sqrt(np.maximum(square, 0.25)) * step
    at = two_theta[peaks]
    neighbours = np.maximum(intensity[:-2], intensity[2:])
    # Scatter grows as the root of the intensity; a spike stands alone eight times above it.
    level = np.maximum(np.median(intensity[quiet]), 1e-3 * top)
    spikes = intensity[1:-1] - neighbours > 8 * noise * np.sqrt(np.maximum(neighbours / level, 1))

    def median_width(low: float, high: float) -> float:
        chosen = widths[(at >= low) & (at < high)]
        return float(np.median(chosen)) if len(chosen) else float("nan")

    return {
        "width": median_width(0, 180),
        "width_low": median_width(15, 40),
        "width_mid": median_width(40, 65),
        "width_high": median_width(65, 90),
        "background": float(np.median(below)) / top,
        "background_low": float(below[: max(1, round(2 / step))].mean()) / top,
        "noise": noise / top,
        "correlation": correlation,
        "zeros": float((intensity <= 0).mean()),
        **found,
        "spikes": float(spikes.sum()),
        "first": float(two_theta[0]),
        "last": float(two_theta[-1]),
        "step": step,
    }


def quantiles(scans: list[dict[str, float]]) -> NDArray[np.float64]:
    """(measures, quantiles), scans without a value left out."""
    columns = [np.array([scan[name] for scan in scans]) for name in MEASURES]
    return np.array([np.quantile(column[np.isfinite(column)], QUANTILES) for column in columns])


def print_table(real: list[dict[str, float]], drawn: list[dict[str, float]]) -> None:
    """Markdown: quantiles of both, one row a measure."""
    head = " | ".join(f"{q:.0%}" for q in QUANTILES)
    print(f"| | measured ({len(real)}): {head} | simulated ({len(drawn)}): {head} |")
    print("|---" * (2 * len(QUANTILES) + 1) + "|")
    for title, ours, theirs in zip(MEASURES.values(), quantiles(drawn), quantiles(real), strict=True):
        print(f"| {title} | " + " | ".join(f"{x:.3g}" for x in (*theirs, *ours)) + " |")


def draw_distributions(real: list[dict[str, float]], drawn: list[dict[str, float]], path: Path) -> None:
    """One histogram a measure, both on it."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, 4, figsize=(16, 13))
    for axis, (name, title) in zip(axes.flat, MEASURES.items(), strict=True):
        both = [np.array([scan[name] for scan in scans]) for scans in (real, drawn)]
        if name in LOGARITHMIC:
            both = [np.log10(np.maximum(values, 1e-4)) for values in both]
            title = "log10 " + title
        both = [values[np.isfinite(values)] for values in both]
        low, high = np.quantile(np.concatenate(both), [0.01, 0.99])
        edges = np.linspace(low, high if high > low else low + 1, 30)
        for values, label in zip(both, ("measured", "simulated"), strict=True):
            weights = np.full(len(values), 1 / len(values))
            axis.hist(np.clip(values, low, high), edges, weights=weights, histtype="step", lw=1.6, label=label)
        axis.set_title(title, fontsize=10)
        axis.set_yticks([])
    axes.flat[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=75)


def draw_scans(real: Scans, drawn: Scans, path: Path, rows: int = 8) -> None:
    """Some scans of each, root of the intensity, side by side."""
    from matplotlib import pyplot

    rng = np.random.default_rng(0)
    figure, axes = pyplot.subplots(rows, 2, figsize=(18, 2.1 * rows))
    for column, (kind, scans) in enumerate((("measured", real), ("simulated", drawn))):
        for axis, index in zip(axes[:, column], rng.choice(len(scans), rows, replace=False), strict=True):
            name, two_theta, intensity = scans[index]
            axis.plot(two_theta, np.sqrt(np.maximum(intensity, 0) / intensity.max()), lw=0.5)
            axis.set_title(f"{kind}: {name}", fontsize=9)
            axis.set_xlim(0, 92)
    figure.tight_layout()
    figure.savefig(path, dpi=65)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("patterns", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/realism"))
    parser.add_argument("--number", type=int, default=578, help="simulated scans")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    real, drawn = measured(arguments.patterns), simulated(arguments.structures, arguments.number)
    tables = [[features(two_theta, intensity) for _, two_theta, intensity in scans] for scans in (real, drawn)]
    print_table(*tables)
    draw_distributions(*tables, arguments.output / "realism.png")
    draw_scans(real, drawn, arguments.output / "scans.png")
    found = {kind: quantiles(table).tolist() for kind, table in zip(("measured", "simulated"), tables, strict=True)}
    (arguments.output / "quantiles.json").write_text(json.dumps({"measures": list(MEASURES), **found}, indent=1))


if __name__ == "__main__":
    main()

"""How well are the lines of a pattern found? Prints a table; everything is drawn with fixed seeds.

    OMP_NUM_THREADS=1 python benchmarks/lines.py ../shared/data/materials_project.parquet -n 300

Scans of the simulated laboratory, whose true lines are known: positions with zero shift, displacement,
transparency and strain of the cell as `measure` applies them. True lines closer than half a FWHM are one
line at their centre of intensity, as no instrument shows them apart. Their significance is that of a
perfect fit of one line of known shape on a known background, counts alone.

- recall: true lines with a found one within half a FWHM, by intensity (strongest 100) and significance
- false: found lines with no true line of sample or impurity (above a hundredth of the found one) within
  half a FWHM, as a share of lines and of intensity
- error: distance to the true line, degrees, of lines whose neighbours are no nearer than 1.5 FWHM and of all
- z: error over stated uncertainty; 1 is honest. 68 % of |z| are below 1 where it is normal

"First 20" are the twenty found lines of lowest angle. With --measured, counts of lines and times on
measured scans, which nothing is fitted to. With --plots, pictures under runs/lines.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.background import background_curve
from syngony.diffraction.laboratory import Laboratory, measure
from syngony.diffraction.line_shape import thompson_cox_hastings
from syngony.diffraction.measure import line_areas
from syngony.diffraction.phase import Phase
from syngony.diffraction.texture import axis_cosines_squared, march_dollase, preferred_axis, strained_q
from syngony.errors import StructureError
from syngony.lines.lines import Lines, find_lines
from syngony.lines.tube import kalpha_doublet
from syngony.pattern import Pattern
from syngony.structure_table import StructureRecord, read_table

FIRST = 20
Array = NDArray[np.float64]


class Truth(NamedTuple):
    """Lines that a scan holds, (n,) each."""

    two_theta: Array
    intensity: Array  # strongest 100
    fwhm: Array
    significance: Array


class Sample(NamedTuple):
    name: str
    conditions: object
    pattern: Pattern
    phases: tuple[Phase, Phase | None]
    rng: np.random.Generator


def draw_samples(table: Path, number: int, seed: int, laboratory: Laboratory) -> list[Sample]:
    """Scans and what is needed to know their lines; the impurity of each is the structure before."""
    rows = read_table(table)
    chosen = np.sort(np.random.default_rng(seed).choice(rows.num_rows, number + 50, replace=False))
    samples: list[Sample] = []
    previous: Phase | None = None
    for position, row in enumerate(rows.take(chosen).to_pylist()):
        try:
            phase = Phase.from_structure(StructureRecord.from_row(row).structure)
        except StructureError:
            continue
        rng = np.random.default_rng((seed, position))
        conditions = laboratory.draw(rng)
        before = copy.deepcopy(rng)
        scan = measure(phase, conditions, rng, previous)
        try:
            pattern = Pattern(*scan)
        except ValueError:  # nothing but zeros
            continue
        samples.append(Sample(row["formula"], conditions, pattern, (phase, previous), before))
        previous = phase
        if len(samples) == number:
            break
    return samples


def true_lines(sample: Sample, wavelength: float) -> tuple[Truth, Truth]:
    """Lines of the sample, merged where unresolved, and all single ones with the impurity's, at `wavelength`."""
    c, rng = sample.conditions, copy.deepcopy(sample.rng)
    quiet = replace(c, noise=False, subtracted=False, spikes=0, full_scale=0.0, background=0.0, air_scatter=0.0,
                    hump=0.0, fluorescence=0.0)  # fmt: skip
    signal = measure(sample.phases[0], quiet, copy.deepcopy(rng), sample.phases[1]).intensity
    q, area, fwhm = _phase_lines(sample.phases[0], c, rng, None)
    impurity = None
    if sample.phases[1] is not None and c.impurity > 0:
        impurity = _phase_lines(sample.phases[1], c, rng, c.impurity)

    def place(q: Array) -> Array:
        sine = np.minimum(0.5 * wavelength * np.sqrt(q), 0.9999)
        cosine = np.sqrt(1 - sine**2)
        return (
            np.degrees(2 * np.arcsin(sine)) + c.zero_shift + c.displacement * cosine
            - 2 * c.transparency * sine * cosine
        )  # fmt: skip

    position = place(q)
    inside = (position > c.start) & (position < c.stop)
    position, area, fwhm = position[inside], area[inside], fwhm[inside]
    # Counts per unit of area: the drawn signal's integral is that of the lines.
    every = np.concatenate([area, impurity[1][(place(impurity[0]) > c.start) & (place(impurity[0]) < c.stop)]
                            if impurity else []])  # fmt: skip
    scale = signal.sum() / every.sum()
    level = c.counts * background_curve(position, c) if len(position) else np.empty(0)
    counts = area * scale * (c.radiation[0][1] if len(c.radiation) > 1 else 1.0)
    under = level * 1.1 * fwhm / c.step
    merged = _merged(position, area, fwhm, counts / np.sqrt(counts + 2 * under + 1e-12))
    single = [(position, area, fwhm)]
    if impurity:
        single.append((place(impurity[0]), impurity[1], impurity[2]))
    p, a, f = (np.concatenate(parts) for parts in zip(*single, strict=True))
    order = np.argsort(p)
    top = merged.intensity.max(initial=1e-300)
    everything = Truth(p[order], 100 * a[order] / top, f[order], np.zeros(len(p)))
    return Truth(merged[0], 100 * merged[1] / top, *merged[2:]), everything


def _phase_lines(phase: Phase, c: object, rng: np.random.Generator, share: float | None) -> tuple[Array, Array, Array]:
    """Q, area relative to the strongest in range, FWHM: the same steps as in `measure`, in the same order."""
    q = np.asarray(phase.q, dtype=float)
    if share is None and any(c.lattice_strain):
        q = strained_q(phase, c.lattice_strain)
    area = line_areas(q, phase.strength, c.wavelength, c.polarisation, c.debye_waller, c.overflow)
    broadening = np.ones(len(q))
    if share is None and (c.march != 1.0 or c.anisotropy != 1.0):
        cosines = axis_cosines_squared(phase, preferred_axis(phase, c.texture_axis))
        if c.march != 1.0:
            area = area * march_dollase(cosines, c.march)
        if c.anisotropy != 1.0:
            broadening = np.sqrt(1.0 + (c.anisotropy**2 - 1.0) * cosines.mean(1))
    if c.grain_spread > 0:
        area = area * np.exp(c.grain_spread * rng.standard_normal(len(area)))
    low, high = (2.0 * np.sin(np.radians(np.array([c.start, c.stop]) / 2.0)) / c.wavelength) ** 2
    strongest = area[(q >= low) & (q <= high)].max(initial=1e-300)
    area = area * (1.0 if share is None else share) / strongest
    sine = np.minimum(0.5 * c.wavelength * np.sqrt(q), 0.99)
    cosine = np.sqrt(1 - sine**2)
    lorentz = (c.size / cosine + c.strain * sine / cosine) * broadening
    return q, area, thompson_cox_hastings(np.full(len(q), c.gauss_fwhm), lorentz)[0]


def _merged(position: Array, area: Array, fwhm: Array, significance: Array) -> Truth:
    """Nearest pairs first, until no two are closer than half a FWHM."""
    order = np.argsort(position)
    lines = [list(row) for row in zip(position[order], area[order], fwhm[order], significance[order], strict=True)]
    lines = [row for row in lines if row[1] > 0]
    while len(lines) > 1:
        gaps = [(b[0] - a[0]) / (0.5 * min(a[2], b[2])) for a, b in pairwise(lines)]
        k = int(np.argmin(gaps))
        if gaps[k] >= 1.0:
            break
        a, b = lines[k], lines[k + 1]
        weight = a[1] + b[1]
        joined = [(a[i] * a[1] + b[i] * b[1]) / weight for i in (0, 1, 2)]
        lines[k : k + 2] = [[joined[0], weight, joined[2], math.hypot(a[3], b[3])]]
    return Truth(*(np.array(column) for column in zip(*lines, strict=True))) if lines else Truth(*[np.empty(0)] * 4)


class Score(NamedTuple):
    """Of one scan. Found lines: matched or not, error, z, clear of neighbours; true lines: found or not."""

    matched: NDArray[np.bool_]
    share: Array
    error: Array
    z: Array
    clear: NDArray[np.bool_]
    truth: Truth
    recalled: NDArray[np.bool_]
    seconds: float
    doublet_right: bool | None
    lines: Lines


def score(sample: Sample) -> Score:
    """Search one scan and compare."""
    start = time.process_time()
    lines = find_lines(sample.pattern)
    seconds = time.process_time() - start
    radiation = sample.conditions.radiation
    pair = len(radiation) > 1
    stated = kalpha_doublet(sample.conditions.wavelength)
    decided = stated is not None and lines.wavelength == stated[0] and sample.pattern.wavelength != stated[0]
    right = None if stated is None or sample.pattern.wavelength == stated[0] else decided == pair
    truth, everything = true_lines(sample, lines.wavelength if pair else radiation[0][0])
    n = len(lines)
    error, clear, matched = np.full(n, np.nan), np.zeros(n, bool), np.zeros(n, bool)
    for i in range(n):
        if len(truth.two_theta):
            reach = 0.5 * max(truth.fwhm.min(), min(lines.fwhm[i], 2 * np.median(truth.fwhm)))
            heavy = everything.intensity > 0.01 * lines.intensity[i]
            matched[i] = bool((np.abs(everything.two_theta - lines.two_theta[i])[heavy] < reach).any())
            near = np.abs(truth.two_theta - lines.two_theta[i])
            candidates = (near < reach) & (truth.intensity > 0.2 * lines.intensity[i])
            if candidates.any():
                k = np.flatnonzero(candidates)[np.argmin(near[candidates])]
                error[i] = lines.two_theta[i] - truth.two_theta[k]
                others = (np.abs(everything.two_theta - truth.two_theta[k]) < 1.5 * truth.fwhm[k]) & (
                    everything.intensity > 0.05 * truth.intensity[k]
                )
                clear[i] = others.sum() <= 1
    recalled = np.array([
        n > 0 and np.abs(lines.two_theta - p).min() < 0.5 * w for p, w in zip(truth.two_theta, truth.fwhm, strict=True)
    ], dtype=bool)  # fmt: skip
    share = lines.intensity / max(lines.intensity.sum(), 1e-300)
    return Score(
        matched, share, error, error / lines.position_uncertainty, clear, truth, recalled, seconds, right, lines
    )


def _alone(truth: Truth) -> NDArray[np.bool_]:
    """(n,) lines whose neighbours above a fiftieth of them are farther than 1.5 FWHM."""
    near = np.abs(truth.two_theta[:, None] - truth.two_theta[None, :]) < 1.5 * truth.fwhm[:, None]
    return (near & (truth.intensity[None, :] > 0.02 * truth.intensity[:, None])).sum(1) == 1


def print_table(scores: list[Score]) -> None:
    """The figures of the docstring."""
    truth = [np.concatenate([getattr(s.truth, name) for s in scores]) for name in Truth._fields]
    recalled = np.concatenate([s.recalled for s in scores])
    alone = np.concatenate([_alone(s.truth) for s in scores])
    for title, group in (("all", alone | True), ("with no neighbour within 1.5 FWHM", alone)):
        print(f"\nrecall of true lines, {title} | significance 4-6 | 6-10 | 10-20 | over 20\n---|---|---|---|---")
        for low, high in ((0.3, 1), (1, 3), (3, 10), (10, 30), (30, 101)):
            cells = []
            for begin, end in ((4, 6), (6, 10), (10, 20), (20, 1e9)):
                chosen = group & (truth[1] >= low) & (truth[1] < high) & (truth[3] >= begin) & (truth[3] < end)
                cells.append(f"{100 * recalled[chosen].mean():.1f} ({chosen.sum()})" if chosen.any() else "-")
            print(f"intensity {low:g}-{min(high, 100):g} | " + " | ".join(cells))
    head = "lines | number | false % | false intensity % | error median | 90 % | z std | |z|<1 % | |z|>3 %"
    print("\n" + head + "\n" + "---|" * 8 + "---")
    for name, pick in (
        ("all", lambda s: np.ones(len(s.lines), bool)),
        (f"first {FIRST}", lambda s: np.arange(len(s.lines)) < FIRST),
        ("first 20, above 1 %", lambda s: (np.arange(len(s.lines)) < FIRST) & (s.lines.intensity > 1)),
        ("clear", lambda s: s.clear),
        ("clear, above 10 %", lambda s: s.clear & (s.lines.intensity > 10)),
    ):
        chosen = [pick(s) for s in scores]
        matched = np.concatenate([s.matched[c] for s, c in zip(scores, chosen, strict=True)])
        error = np.concatenate([s.error[c] for s, c in zip(scores, chosen, strict=True)])
        z = np.concatenate([s.z[c] for s, c in zip(scores, chosen, strict=True)])
        share = np.array([s.share[c][~s.matched[c]].sum() for s, c in zip(scores, chosen, strict=True)])
        error, z = np.abs(error[np.isfinite(z)]), z[np.isfinite(z)]
        print(
            f"{name} | {len(matched)} | {100 * (1 - matched.mean()):.2f} | {100 * share.mean():.2f} | "
            f"{np.median(error):.4f} | {np.quantile(error, 0.9):.4f} | {np.clip(z, -10, 10).std():.2f} | "
            f"{100 * (np.abs(z) < 1).mean():.0f} | {100 * (np.abs(z) > 3).mean():.1f}"
        )
    none = np.mean([(~s.matched[:FIRST]).sum() == 0 for s in scores])
    print(f"\nscans without a false line in the first {FIRST}: {100 * none:.1f} %")
    right = [s.doublet_right for s in scores if s.doublet_right is not None]
    print(f"doublet or not, right: {100 * np.mean(right):.1f} % of {len(right)}")
    seconds = 1e3 * np.array([s.seconds for s in scores])
    print(f"time: median {np.median(seconds):.0f} ms, 90 % {np.quantile(seconds, 0.9):.0f}, most {seconds.max():.0f}")


def measured_patterns(path: Path) -> list[Pattern]:
    import pyarrow.parquet as pq

    found = []
    for row in pq.read_table(path).to_pylist():
        name = f"{row['pattern_id']} {row['material']}"
        found.append(Pattern(row["two_theta"], row["intensity"], row["wavelength"], name))
    return found


def print_measured(patterns: list[Pattern]) -> None:
    """Counts and times on measured scans, whose true lines nobody knows."""
    seconds, number, above, doublets = [], [], [], []
    for pattern in patterns:
        start = time.process_time()
        lines = find_lines(pattern)
        seconds.append(1e3 * (time.process_time() - start))
        number.append(len(lines))
        above.append(int((lines.intensity > 1).sum()))
        doublets.append(kalpha_doublet(pattern.wavelength) is not None and lines.wavelength != pattern.wavelength)
    quantiles = (0, 0.1, 0.5, 0.9, 1)
    print(f"\n{len(patterns)} measured scans; quantiles {quantiles}")
    for name, values in (("lines", number), ("lines above 1 %", above), ("ms", seconds)):
        print(name, np.round(np.quantile(values, quantiles), 1))
    print(f"wavelength changed to Kα1: {100 * np.mean(doublets):.0f} %")


def plot(pattern: Pattern, truth: Truth | None, path: Path) -> None:
    """The scan in three strips, root of the intensity, with background, found (red) and true (green) lines."""
    from matplotlib import pyplot

    from syngony.lines.background import separate_background

    lines = find_lines(pattern)
    background, noise = separate_background(pattern)
    figure, axes = pyplot.subplots(4, 1, figsize=(22, 17))
    edges = np.linspace(pattern.two_theta[0], pattern.two_theta[-1], 5)
    low, top = pattern.intensity.min(), pattern.intensity.max()

    def root(values: Array) -> Array:
        return np.sqrt(np.maximum(values - low, 0) / (top - low))

    for axis, begin, end in zip(axes, edges[:-1], edges[1:], strict=True):
        axis.plot(pattern.two_theta, root(pattern.intensity), "k.-", lw=0.5, ms=1.5)
        axis.plot(pattern.two_theta, root(background), "b", lw=0.8)
        axis.plot(pattern.two_theta, root(background + 3 * noise), "c", lw=0.4)
        axis.vlines(lines.two_theta, -0.07, -0.04, "r")
        for p, i in zip(lines.two_theta, lines.intensity, strict=True):
            axis.vlines(p, 0, math.sqrt(i / 100), "r", lw=0.5)
        if truth is not None:
            seen = truth.intensity > 0.2
            axis.vlines(truth.two_theta[seen], -0.04, -0.01, "g")
            faint = seen & (truth.significance < 4)
            axis.vlines(truth.two_theta[faint], -0.04, -0.01, "y")
        axis.set_xlim(begin, end)
        inside = (pattern.two_theta >= begin) & (pattern.two_theta <= end)
        axis.set_ylim(-0.08, 1.1 * root(pattern.intensity[inside]).max())
    axes[0].set_title(f"{pattern.name}: {len(lines)} lines, {lines.wavelength:g} Å, stated {pattern.wavelength:g}")
    figure.tight_layout()
    figure.savefig(path, dpi=60)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--measured", type=Path, help="table of measured patterns")
    parser.add_argument("-n", "--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plots", type=int, default=0, help="pictures of so many scans of each kind")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/lines"))
    arguments = parser.parse_args()
    samples = draw_samples(arguments.structures, arguments.number, arguments.seed, Laboratory())
    find_lines(samples[0].pattern)
    print_table([score(sample) for sample in samples])
    patterns = measured_patterns(arguments.measured) if arguments.measured else []
    if patterns:
        print_measured(patterns)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for k in range(arguments.plots):
        pair = len(samples[k].conditions.radiation) > 1
        wavelength = find_lines(samples[k].pattern).wavelength if pair else samples[k].conditions.radiation[0][0]
        plot(samples[k].pattern, true_lines(samples[k], wavelength)[0], arguments.output / f"simulated_{k}.png")
    if patterns:
        for k in np.linspace(0, len(patterns) - 1, arguments.plots).astype(int):
            plot(patterns[k], None, arguments.output / f"measured_{k}.png")


if __name__ == "__main__":
    main()

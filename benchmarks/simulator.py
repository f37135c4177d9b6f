"""How fast is the simulator, beside others, and do they agree? Prints the table of the README.

    OMP_NUM_THREADS=1 python benchmarks/simulator.py --structures materials_project.parquet

The same structures for every tool, one thread, tool after tool on each structure (interleaved, so that
a busy moment of the machine hits all); CuKa, 0 to 90 degrees. Seconds are those of the processor (of all
threads, if a tool starts any), so that other work on the machine does not count. Timed for each tool,
from objects that it builds beforehand (not timed: reading, its own structure classes):

- syngony, one call: `reflections`, to merged lines with indices
- syngony, packed: `packed_patterns`, arrays to normalised patterns of 9,001 points, 20 structures at a time
  (the figure of a batch is its mean, so its quartiles are narrower)
- pymatgen: `XRDCalculator.get_pattern` to lines (its pattern on a grid would come on top)
- xrd-rust: `XRDCalculatorRust.get_pattern` to lines
- cctbx: `structure_factors` (direct) of the space group P1 to |F|^2 with Lorentz-polarisation, not merged
- gemmi: a Python loop over `StructureFactorCalculatorX`, to |F|^2 with Lorentz-polarisation, not merged
- BraggCalculator: `load` (it reduces the cell by symmetry) and `line_pattern` to lines

A tool that is not installed is named as such. Agreement is with pymatgen: the largest differences of 2θ in
degrees and, relative, of intensity over lines above 1 (strongest = 100) that both list; those without
partner within 0.001 degrees are counted as missed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import math
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

with contextlib.suppress(ImportError):
    import cctbx.array_family.flex  # noqa: F401  (first of all: it crashes when loaded after numba or gemmi)

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402

from syngony.diffraction.packed import PackedStructures, pack_table, packed_patterns  # noqa: E402
from syngony.diffraction.profile import PaperGrid  # noqa: E402
from syngony.diffraction.reflections import reflections  # noqa: E402
from syngony.structure import Structure  # noqa: E402
from syngony.structure_table import read_table  # noqa: E402

WAVELENGTH = 1.54184
GROUPS = ((1, 10), (11, 30), (31, 100), (101, 10_000))
Q_MAX = 2.0 / WAVELENGTH**2  # 90 degrees
Lines = tuple[np.ndarray, np.ndarray]


@dataclass
class Tool:
    """One simulator: how to prepare a structure (not timed), how to run it, and what was seen."""

    name: str
    package: str
    prepare: Callable[[Structure], Any]
    run: Callable[[Any], Any]
    lines: Callable[[Any], Lines]
    seconds: dict[int, list[float]] = field(default_factory=dict)
    agreement: list[tuple[float, float, int]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def syngony_tool() -> Tool:
    def run(structure: Structure) -> Any:
        return reflections(structure, WAVELENGTH)

    return Tool("syngony, one call", "syngony", lambda s: s, run, lambda r: (r.two_theta, r.intensity))


def pymatgen_tool() -> Tool:
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    calculator = XRDCalculator(WAVELENGTH)
    return Tool("pymatgen", "pymatgen", as_pymatgen, calculator.get_pattern, lambda p: (p.x, p.y))


def as_pymatgen(structure: Structure) -> Any:
    from pymatgen.core import Lattice
    from pymatgen.core import Structure as Reference

    return Reference(Lattice(structure.lattice), structure.species, structure.frac_coords)


def xrd_rust_tool() -> Tool:
    from xrd_rust_calculator import XRDCalculatorRust

    calculator = XRDCalculatorRust(WAVELENGTH)
    return Tool("xrd-rust", "xrd-rust", as_pymatgen, calculator.get_pattern, lambda p: (np.array(p.x), np.array(p.y)))


def cctbx_tool() -> Tool:
    from cctbx import crystal, miller, xray
    from cctbx.array_family import flex

    def prepare(structure: Structure) -> Any:
        symmetry = crystal.symmetry(unit_cell=structure.parameters, space_group_symbol="P1")
        model = xray.structure(crystal_symmetry=symmetry)
        sites = zip(structure.species, structure.frac_coords, structure.occupancies, strict=True)
        for symbol, position, occupancy in sites:
            model.add_scatterer(
                xray.scatterer(symbol, site=tuple(position), occupancy=float(occupancy), scattering_type=symbol)
            )
        model.scattering_type_registry(table="it1992")
        return symmetry, model

    def run(prepared: Any) -> Lines:
        symmetry, model = prepared
        indices = miller.build_set(symmetry, anomalous_flag=False, d_min=1.0 / math.sqrt(Q_MAX))
        amplitudes = indices.structure_factors_from_scatterers(model, algorithm="direct").f_calc()
        q = 1.0 / flex.pow2(indices.d_spacings().data()).as_numpy_array()
        return polarised(q, np.abs(amplitudes.data().as_numpy_array()) ** 2)

    return Tool("cctbx (P1)", "cctbx-base", prepare, run, merged)


def gemmi_tool() -> Tool:
    import gemmi

    def prepare(structure: Structure) -> Any:
        small = gemmi.SmallStructure()
        small.cell = gemmi.UnitCell(*structure.parameters)
        small.spacegroup_hm = "P 1"
        sites = zip(structure.species, structure.frac_coords, structure.occupancies, strict=True)
        for index, (symbol, position, occupancy) in enumerate(sites):
            site = gemmi.SmallStructure.Site()
            site.label, site.type_symbol, site.element = f"{symbol}{index}", symbol, gemmi.Element(symbol)
            site.fract, site.occ = gemmi.Fractional(*position), float(occupancy)
            small.add_site(site)
        return small

    def run(small: Any) -> Lines:
        calculator = gemmi.StructureFactorCalculatorX(small.cell)
        group = gemmi.SpaceGroup("P 1")
        indices = gemmi.make_miller_array(small.cell, group, 1.0 / math.sqrt(Q_MAX))
        squared = np.array([abs(calculator.calculate_sf_from_small_structure(small, h)) for h in indices.tolist()]) ** 2
        return polarised(small.cell.calculate_1_d2_array(indices), squared)

    return Tool("gemmi, Python loop", "gemmi", prepare, run, merged)


def bragg_tool() -> Tool:
    from braggcalculator import BraggCalculator

    def run(structure: Any) -> Any:
        calculator = BraggCalculator(mode="xray", wavelength=WAVELENGTH, two_theta_range=(0.0, 90.0))
        calculator.load(structure)
        return calculator.line_pattern(scaled=True)

    def lines(result: Any) -> Lines:
        return np.asarray(result[0], dtype=float), np.asarray(result[1], dtype=float)

    return Tool("BraggCalculator", "braggcalculator", as_pymatgen, run, lines)


def polarised(q: np.ndarray, squared: np.ndarray) -> Lines:
    """2θ in degrees and intensity of single reflections."""
    sin2 = 0.25 * WAVELENGTH**2 * q
    cosine = 1.0 - 2.0 * sin2
    return np.degrees(2 * np.arcsin(np.sqrt(sin2))), squared * (1 + cosine**2) / (sin2 * np.sqrt(1 - sin2))


def merged(lines: Lines) -> Lines:
    """Reflections within 1e-4 degrees as one line, strongest 100 (not timed: only to compare)."""
    order = np.argsort(lines[0])
    x, y = lines[0][order], lines[1][order]
    starts = np.flatnonzero(np.diff(x, prepend=-1.0) > 1e-4)
    total = np.add.reduceat(y, starts)
    return x[starts], 100.0 * total / total.max()


def compare(reference: Lines, other: Lines) -> tuple[float, float, int]:
    """Over lines above 1: largest difference of 2θ, largest relative one of intensity, how many are missed."""
    x, y = (np.asarray(a, dtype=float) for a in other)
    angle, missed, ratios = 0.0, 0, []
    for two_theta, intensity in zip(*reference, strict=True):
        if intensity < 1:
            continue
        near = np.flatnonzero(np.abs(x - two_theta) < 1e-3)
        if not len(near):
            missed += 1
            continue
        best = near[np.argmin(np.abs(x[near] - two_theta))]
        angle = max(angle, abs(x[best] - two_theta))
        neighbours = np.count_nonzero(np.abs(np.asarray(reference[0]) - two_theta) < 2e-3)
        if len(near) == 1 and neighbours == 1:  # lines that tools may merge differently are not compared
            ratios.append(y[best] / intensity)
    # Where the strongest line is one that is merged differently, all others are on another scale.
    height = np.abs(np.array(ratios) / np.median(ratios) - 1.0).max() if ratios else 0.0
    return angle, float(height), missed


def sample(table: pa.Table, per_group: int, seed: int) -> list[pa.Table]:
    """Seeded rows of each group by number of sites."""
    sites = pc.list_value_length(table["species"]).to_numpy()
    rng = np.random.default_rng(seed)
    chosen = []
    for low, high in GROUPS:
        rows = np.flatnonzero((sites >= low) & (sites <= high))
        chosen.append(table.take(np.sort(rng.choice(rows, min(per_group, len(rows)), replace=False))))
    return chosen


def time_tools(tools: list[Tool], group: int, packed: PackedStructures, limit: int, repeats: int) -> None:
    """Every tool on every structure of a group, in turn; the first two structures warm up untimed."""
    for index in range(min(len(packed), limit)):
        structure = packed.structure(index)
        reference: Lines | None = None
        for tool in tools:
            try:
                prepared = tool.prepare(structure)
                if index < 2:
                    tool.run(prepared)
                seconds, result = clock(tool, prepared, repeats)
                tool.seconds.setdefault(group, []).append(seconds)
            except Exception as error:  # another tool's refusal is a result
                tool.failures.append(f"{structure.formula}: {type(error).__name__} {error}"[:120])
                continue
            lines = tool.lines(result)
            if tool.package == "pymatgen":
                reference = lines
            elif reference is not None:
                tool.agreement.append(compare(reference, lines))


def clock(tool: Tool, prepared: Any, repeats: int) -> tuple[float, Any]:
    """Median processor seconds of a few runs, one after another, and the last result."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        result = tool.run(prepared)
        seconds.append(time.process_time() - began)
    return float(np.median(seconds)), result


def time_packed(rows: pa.Table, repeats: int) -> list[float]:
    """Processor seconds a structure of the packed batch, in batches of 20: the median of a few runs of each."""
    grid = PaperGrid()
    seconds = []
    for begin in range(0, rows.num_rows, 20):
        packed = pack_table(rows.slice(begin, 20))
        out = np.zeros((len(packed), grid.size), np.float32)
        if begin == 0:
            packed_patterns(packed, WAVELENGTH, grid, out=out)
        runs = []
        for _ in range(repeats):
            began = time.process_time()
            packed_patterns(packed, WAVELENGTH, grid, out=out)
            runs.append((time.process_time() - began) / len(packed))
        seconds.append(float(np.median(runs)))
    return seconds


def rate(seconds: list[float]) -> str:
    """Median structures a second, with the quartiles."""
    low, middle, high = np.percentile(1.0 / np.array(seconds), [25, 50, 75])
    return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"


def worst(tool: Tool) -> str:
    """Agreement in a few words."""
    if not tool.agreement:
        return "reference" if tool.package == "pymatgen" else "not compared"
    angle, height, missed = np.array(tool.agreement, dtype=float).T
    middle = np.median(height)
    text = f"2θ {angle.max():.1g}°, intensity {height.max():.1g} (median structure {middle:.1g})"
    return text + (
        f"; {int(missed.sum())} lines missed in {int((missed > 0).sum())} structures" if missed.any() else ""
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--structures", required=True, help="Parquet table of structures")
    parser.add_argument("--per-group", type=int, default=60, help="structures of each size for every tool")
    parser.add_argument("--packed", type=int, default=400, help="structures of each size for the packed batch")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each tool on each structure; the median counts")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")

    tools, absent = [], []
    # The reference first: the others are compared with it.
    for package, build in (
        ("pymatgen", pymatgen_tool), ("syngony", syngony_tool), ("xrd-rust", xrd_rust_tool),
        ("cctbx-base", cctbx_tool), ("gemmi", gemmi_tool), ("braggcalculator", bragg_tool),
    ):  # fmt: skip
        try:
            tools.append(build())
        except ImportError:
            absent.append(package)
    batch: dict[int, list[float]] = {}
    table = read_table(arguments.structures)
    for group, rows in enumerate(sample(table, arguments.packed, arguments.seed)):
        packed = pack_table(rows)
        batch[group] = time_packed(rows, arguments.repeats)
        time_tools(tools, group, packed, arguments.per_group, arguments.repeats)
        batch[group] += time_packed(rows, arguments.repeats)
    print_table(tools, batch, absent, arguments)


def print_table(tools: list[Tool], batch: dict[int, list[float]], absent: list[str], arguments: Any) -> None:
    """Markdown."""
    names = ["1-10", "11-30", "31-100", ">100 sites"]
    print(f"\nStructures a second of processor time, median (quartiles); {time.strftime('%Y-%m-%d')}, {machine()},")
    print(f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}; {arguments.per_group} structures a size")
    print(f"(packed: {arguments.packed}), seed {arguments.seed}, CuKa, 0-90°.\n")
    print(f"| | {' | '.join(names)} | worst difference from pymatgen |\n|---|---|---|---|---|---|")
    print(f"| syngony, packed, 9,001-point patterns | {' | '.join(rate(batch[g]) for g in range(4))} | as one call |")
    for tool in sorted(tools, key=lambda t: t.package != "syngony"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            tool.name += f" {importlib.metadata.version(tool.package)}" if tool.package != "syngony" else ""
        cells = [rate(tool.seconds[g]) if g in tool.seconds else "-" for g in range(4)]
        print(f"| {tool.name} | {' | '.join(cells)} | {worst(tool)} |")
    for package in absent:
        print(f"| {package} | not installed | | | | |")
    reference = next((t for t in tools if t.package == "pymatgen"), None)
    if reference is not None:
        ours = next(t for t in tools if t.package == "syngony")
        theirs = [float(np.mean(reference.seconds[g])) for g in range(4)]
        single = [float(np.mean(ours.seconds[g])) for g in range(4)]
        whole = [float(np.mean(batch[g])) for g in range(4)]
        parts = [f"{names[g]}: {theirs[g] / whole[g]:.0f} and {theirs[g] / single[g]:.0f}" for g in range(4)]
        print(f"\nTotal time of pymatgen over ours, packed and one call: {'; '.join(parts)};")
        print(f"as many of each size: {sum(theirs) / sum(whole):.0f} and {sum(theirs) / sum(single):.0f}.")
    for tool in tools:
        if tool.failures:
            print(f"{tool.name}: {len(tool.failures)} failures, e.g. {tool.failures[0]}")


def machine() -> str:
    """Processor name."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:  # noqa: PTH123
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()

"""Every figure of the library of known phases.

    python benchmarks/library.py measured ../shared/data/measured_patterns.parquet --library amcsd runs/mp.lib
    python benchmarks/library.py ablation ../shared/data/measured_patterns.parquet --library amcsd runs/mp.lib
    python benchmarks/library.py lab ../shared/data/materials_project.parquet --library runs/mp.lib --number 2000
    python benchmarks/library.py mixtures ../shared/data/materials_project.parquet --library runs/mp.lib
    python benchmarks/library.py time --library amcsd runs/mp.lib

``--rows FILE`` keeps what was found of each scan: stopped, the same command goes on. It is of one command, one
version and one set of libraries. ``lab`` judges three of ten scans again: with the elements known, without the phase,
without its structure type; its calibration is that of all scans, these three without their phase. ``--held-out`` draws
only formulas that the judgement was not fitted on.
``runs/mp.lib`` is made by ``syngony library build ../shared/data/materials_project.parquet -o runs/mp.lib``. Measured
scans are measured with, never fitted to. Intervals are 95 % (Wilson).
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from library_figures import Kept, share
from library_lab import lab
from library_patterns import pairs

from syngony.errors import SyngonyError
from syngony.library.agreement import agreement
from syngony.library.candidates import gather
from syngony.library.file import Library, write_library
from syngony.library.match import open_libraries, rank
from syngony.library.mixture import recognise
from syngony.library.refine import FINE_LEVELS, ROUGH, refine
from syngony.library.scan import Scan
from syngony.library.search import fingerprint, search
from syngony.metrics import expected_calibration_error
from syngony.pattern import Pattern
from syngony.symmetry import crystal_system

PREFERENCE = 0.03  # of measured structures in the prototype's correlation


def scans(path: Path, limit: int | None) -> list[dict]:
    """Labelled scans with the set of space groups that count as right."""
    rows = pq.read_table(path).to_pylist()
    rows = rows if limit is None else rows[:: max(1, len(rows) // limit)]
    for row in rows:
        row["groups"] = {int(n) for n in str(row["space_group"]).split("|")}
        row["systems"] = {crystal_system(n) for n in row["groups"]}
        row["pattern"] = Pattern(row["two_theta"], row["intensity"], row["wavelength"], row["pattern_id"])
    return rows


def measured(arguments: argparse.Namespace) -> None:
    """First answers on measured scans."""
    libraries = open_libraries(arguments.library)
    found, wrong = [], []
    began = time.perf_counter()
    kept = Kept(arguments.rows)

    def first_of(row: dict) -> list[dict]:
        listed = recognise(row["pattern"], libraries)[:10]
        return [{**asdict(phase), "crystal_system": phase.crystal_system} for phase in listed]

    for row in scans(arguments.table, arguments.limit):
        listed = kept.get(row["pattern_id"], lambda row=row: {"phases": first_of(row)})["phases"]
        phases = [argparse.Namespace(**phase) for phase in listed]
        first = phases[0] if phases else None
        group = first is not None and first.space_group in row["groups"]
        system = first is not None and first.crystal_system in row["systems"]
        found.append((first.probability if first else 0.0, system, group, row["source"], row["crystal_system"]))
        if not group:
            wrong.append((row, phases[:3]))
    print(f"{len(found)} scans, {(time.perf_counter() - began) / len(found):.2f} s each, second phases sought")
    p, system, group = (np.array(column) for column in list(zip(*found, strict=True))[:3])
    share("crystal system", system)
    share("space group", group)
    half = np.argsort(-p, kind="stable")[: len(p) // 2]
    share("crystal system, likeliest half", system[half])
    share("space group, likeliest half", group[half])
    print(f"probability at half coverage {p[half].min():.3f}")
    print(f"calibration error against the crystal system {expected_calibration_error(p, system):.3f}")
    for low in (0.9, 0.5, 0.0):
        high = {0.9: 1.01, 0.5: 0.9, 0.0: 0.5}[low]
        inside = (p >= low) & (p < high)
        share(f"crystal system where p is {low} to {min(high, 1):g}", system[inside])
    for column, title in ((3, "source"), (4, "system")):
        for name in sorted({row[column] for row in found}):
            chosen = np.array([row[column] == name for row in found])
            share(f"{title} {name}: crystal system", system[chosen])
            share(f"{title} {name}: space group", group[chosen])
    if arguments.against is not None:
        coverage(scans(arguments.table, arguments.limit), kept, Kept(arguments.against))
    for row, phases in wrong[: arguments.wrong]:
        listed = " | ".join(
            f"{f.name or f.formula} {f.space_group} p={f.probability:.2f} r={f.score:.2f} x{f.scale:.3f}"
            for f in phases
        )
        print(
            f"{row['pattern_id']} {row['material'] or ''} [{row['space_group']}, {row['label_confidence']}]: {listed}"
        )


def coverage(rows: list[dict], here: Kept, more: Kept) -> None:
    """What a library alone lacks, seen from a run with more libraries: are its losses phases that it does not hold?"""
    name = Path(open_libraries()[0].path).stem

    def first_of(kept: Kept, row: dict) -> dict | None:
        phases = kept.known[row["pattern_id"]]["phases"]
        return phases[0] if phases else None

    held, lost, elsewhere, unsure = [], 0, 0, 0
    for row in rows:
        first, better = first_of(here, row), first_of(more, row)
        good = first is not None and first["space_group"] in row["groups"]
        named = better is not None and better["space_group"] in row["groups"]
        own = named and (better["library"] == name or any(i.startswith(f"{name}-") for i in better["relatives"]))
        if own:
            held.append(good)
        if not good:
            lost += 1
            elsewhere += named and not own
            unsure += first is None or first["probability"] < 0.5
    print(f"{lost} wrong: {elsewhere} are named by structures of other libraries alone; {unsure} have p < 0.5")
    share("right, where the right answer of more libraries is in this", held)


def ablation(arguments: argparse.Namespace) -> None:
    """The first answer after each step of the search, on the same scans."""
    libraries = open_libraries(arguments.library)
    kinds = [library.header["sources"][0]["kind"] == "measured" for library in libraries]
    tally: dict[str, list[tuple[bool, bool]]] = {}
    kept_rows = Kept(arguments.rows)

    def numbers_of(row: dict) -> dict[str, int]:
        scan = Scan.from_pattern(row["pattern"])
        found = [search(library, scan, 600, 0) for library in libraries]
        strained = [search(library, scan, 400, 2000) for library in libraries]
        groups = np.concatenate([lib.space_group[one.index] for lib, one in zip(libraries, found, strict=True)])
        bonus = np.concatenate([np.full(len(one.index), PREFERENCE * k) for one, k in zip(found, kinds, strict=True)])
        plain = np.concatenate([one.score for one in found])
        answers = {"prototype: shifts alone": plain, "measured preferred by 0.03": plain + bonus}
        numbers = {name: groups[np.argmax(score)] for name, score in answers.items()}
        candidates = gather(libraries, strained)
        laid = refine(candidates, scan, fingerprint(scan), (ROUGH[0], FINE_LEVELS[1]))
        prefer = PREFERENCE * np.array(kinds)[candidates.library]
        numbers["+ refined cells"] = candidates.space_group[np.argmax(laid.score + prefer)]
        best = np.argsort(-laid.score)[:240]
        lines = candidates.lines_of(best)
        kept = candidates.take(best)
        figures = agreement(kept, laid.take(best, lines), scan).features
        numbers["+ profile, strict intensities"] = kept.space_group[np.argmax(figures[:, 0] + prefer[best])]
        numbers["+ profile, tolerant intensities"] = kept.space_group[np.argmax(figures[:, 1] + prefer[best])]
        ranking = rank(scan, libraries)
        if ranking is None:
            return {}
        bare = ranking.logit + np.where(np.array(kinds)[ranking.candidates.library], 0.0, np.log(3.0))
        numbers["+ judgement, no prior for measured"] = ranking.candidates.space_group[np.argmax(bare)]
        numbers["+ judgement (all)"] = ranking.candidates.space_group[ranking.order[0]]
        return {name: int(number) for name, number in numbers.items()}

    for row in scans(arguments.table, arguments.limit):
        for name, number in kept_rows.get(row["pattern_id"], lambda row=row: numbers_of(row)).items():
            answer = crystal_system(number) in row["systems"], number in row["groups"]
            tally.setdefault(name, []).append(answer)
    for name, answers in tally.items():
        share(f"{name}: crystal system", np.array([a for a, _ in answers]))
        share(f"{name}: space group", np.array([b for _, b in answers]))


def mixtures(arguments: argparse.Namespace) -> None:
    """Equal mixtures (strongest lines alike) of two phases: are both among the first five?"""
    libraries = open_libraries(arguments.library)
    kept = Kept(arguments.rows)

    def found(pattern: Pattern, *wanted: str) -> dict:
        try:
            phases = recognise(pattern, libraries)[:5]
        except SyngonyError:
            phases = []
        ids = [{phase.id, *phase.relatives} for phase in phases]
        second = [phase.probability for phase in phases if phase.component == 2]
        return {"hits": [any(one in known for known in ids) for one in wanted], "second": max(second, default=0.0)}

    rows = [
        kept.get(f"{one} {other}", lambda scan=(pattern, one, other): found(*scan))
        for pattern, one, other in pairs(arguments.table, arguments.number, arguments.seed + 7)
    ]
    share("both phases in the first five", [all(row["hits"]) for row in rows])
    share("at least one", [any(row["hits"]) for row in rows])
    share("a second phase is claimed (p > 0.5)", [row["second"] > 0.5 for row in rows])


def timing(arguments: argparse.Namespace) -> None:
    """Loading, one search and one whole match at several sizes, on as many cores as the process may use."""
    libraries = open_libraries(arguments.library)
    shipped = Path(__file__).resolve().parents[1] / "examples" / "quartz.xy"
    table = np.loadtxt(shipped, comments="#")
    pattern = Pattern(table[:, 0], table[:, 1], 1.54184)
    scan = Scan.from_pattern(pattern)
    print(f"{len(os.sched_getaffinity(0))} cores")
    largest = max(libraries, key=len)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        for size in arguments.sizes:
            path = Path(folder) / f"{size}.lib"
            parts, left = [], size
            while left > 0:  # the library repeated: the same work as a larger one
                kept = np.arange(len(largest)) < left
                parts.append((largest, None if kept.all() else kept))
                left -= int(kept.sum())
            write_library(path, parts, "repeated")
            report([path], scan, pattern)
            path.unlink()
    report([library.path for library in libraries], scan, pattern)


def report(paths: list[Path], scan: Scan, pattern: Pattern) -> None:
    """One line of `timing`, from a process of its own so that memory is its own."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    began = time.perf_counter()
    libraries = [Library.load(path) for path in paths]
    loaded = time.perf_counter() - began
    recognise(pattern, libraries)  # compiled code is loaded once
    steps: dict[str, Callable[[], object]] = {
        "search": lambda: [search(library, scan, 400, 2000) for library in libraries],
        "search and judgement": lambda: rank(scan, libraries),
    }
    told = []
    for name, step in steps.items():
        walls, busy = [], []
        for _ in range(5):
            began, used = time.perf_counter(), time.process_time()
            step()
            walls.append(time.perf_counter() - began)
            busy.append(time.process_time() - used)  # of all threads: what other programs take does not show
        told.append(f"{name} {np.median(walls):.3f} s ({np.median(busy):.3f} s of cores)")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{sum(map(len, libraries)):>9,} structures: load {loaded:.2f} s, {', '.join(told)}, memory {memory:.2f} GB",
        flush=True,
    )
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measured", "ablation", "lab", "mixtures", "time"))
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("--library", nargs="+", default=["amcsd"], help="the last is the table's own, for lab")
    parser.add_argument("--limit", type=int, help="about so many of the measured scans")
    parser.add_argument("--number", type=int, default=300, help="simulated scans")
    parser.add_argument("--present-only", action="store_true", help="lab: not without the phase, nor without its type")
    parser.add_argument("--held-out", action="store_true", help="only formulas the judgement was not fitted on")
    parser.add_argument("--wrong", type=int, default=0, help="wrong answers to list")
    parser.add_argument("--rows", type=Path, help="what was found, kept for going on; of one command and version")
    parser.add_argument("--against", type=Path, help="measured, shipped library: --rows of a run with more libraries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--scratch", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    {"measured": measured, "ablation": ablation, "lab": lab, "mixtures": mixtures, "time": timing}[arguments.what](
        arguments
    )


if __name__ == "__main__":
    main()

"""How good the whole product is: the README's table. Goes on where it was interrupted.

    syngony library build ../shared/data/materials_project.parquet -o runs/mp.lib
    python benchmarks/accuracy.py ../shared/data/materials_project.parquet ../shared/data/measured_patterns.parquet \\
        --library runs/mp.lib -o runs/accuracy --limit 1000 --workers 2

Structures: the test side of the split by reduced formula, never trained or fitted on, their compounds taken out of the
shipped library, or no library asked at all. Measured scans: all, with all libraries, with the shipped one alone, and
with none; nothing is fitted to them. Every row prints its command; answers are kept in OUTPUT, a folder a row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy
import onnxruntime

import syngony
from syngony.evaluation import Witnesses, evaluate_patterns, evaluate_structures
from syngony.learning.split import split_table

ROWS = (
    "measured-all",
    "measured-shipped",
    "measured-none",
    "lab-shipped",
    "ideal-shipped",
    "lab-none",
    "ideal-none",
    "lab-network",
)


def evaluate_row(name: str, arguments: argparse.Namespace, held_out: Path) -> dict[str, Any]:
    """The report of one row."""
    folder = arguments.output / name
    common: dict[str, Any] = {"workers": arguments.workers, "folder": folder}
    kind, rest = name.split("-")
    libraries = {"all": ("amcsd", str(arguments.library)), "none": ()}.get(rest)  # None: what is shipped
    if kind == "measured":
        return evaluate_patterns(Witnesses("syngony", libraries, clock=time.thread_time), arguments.patterns, **common)
    evidence = ("network",) if rest == "network" else None
    witnesses = Witnesses("syngony", libraries, evidence=evidence, clock=time.thread_time)
    return evaluate_structures(witnesses, held_out, kind, limit=arguments.limit, **common)  # type: ignore[arg-type]


def line(name: str, report: dict[str, Any]) -> str:
    """One row of the table."""
    system = report["crystal_system"]
    low, high = system["interval"]
    half = next(r["accuracy"] for r in system["coverage"] if r["fraction"] == 0.5)
    answered = report["answered"]
    finer = [f"{100 * report[key]['accuracy']:.1f}" for key in ("extinction_group", "space_group")]
    return (
        f"| `{name}` | {report['n']:,} | **{100 * system['accuracy']:.1f}** ({100 * low:.1f}-{100 * high:.1f}) "
        f"| {system['macro_f1']:.3f} | {finer[0]} | {finer[1]} | {system['ece']:.3f} | {100 * half:.1f} "
        f"| {100 * answered['fraction']:.0f}: {100 * (answered['accuracy'] or 0):.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("patterns", type=Path)
    parser.add_argument("--library", type=Path, required=True, help="of the Materials Project, beside the shipped one")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--limit", type=int, help="of the structures; all of the test side if omitted")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    held_out = arguments.output / "held_out.parquet"
    if not held_out.is_file():
        split_table(arguments.structures, held_out, "test")
    print(
        "| patterns | n | crystal system, % (95 %) | macro F1 | extinction group | space group | ECE "
        "| half coverage | answered: right |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name in arguments.rows:
        report = evaluate_row(name, arguments, held_out)
        (arguments.output / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        print(line(name, report), flush=True)
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, syngony {syngony.__version__}, numpy {numpy.__version__}, "
        f"onnxruntime {onnxruntime.__version__}"
    )


if __name__ == "__main__":
    main()

"""A shipped network alone, on held-out structures and on measured scans, and its speed.

    python benchmarks/shipped.py ../shared/data/materials_project.parquet ../shared/data/measured_patterns.parquet

Structures: the test side of the split by reduced formula (5 %), none of whose formulas was trained on.
Measured scans are only measured on; nothing is fitted to them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
import onnxruntime

import syngony
from syngony.evaluation import Witnesses, evaluate_patterns, evaluate_structures
from syngony.inference import Network
from syngony.learning.split import split_table

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "rutile.xy"


def row(name: str, report: dict[str, Any]) -> str:
    """One line of the table."""
    system, group = report["crystal_system"], report["space_group"]
    low, high = system["interval"]
    neighbour = report["baselines"]["nearest neighbour, leave one out"]["accuracy"]
    half = next(r["accuracy"] for r in system["coverage"] if r["fraction"] == 0.5)
    return (
        f"| {name} | {report['n']:,} | **{100 * system['accuracy']:.1f}** ({100 * low:.1f}-{100 * high:.1f}) "
        f"| {system['macro_f1']:.3f} | {100 * (group['accuracy'] or 0):.1f} | {system['ece']:.3f} | {100 * half:.1f} "
        f"| {100 * report['baselines']['majority']['accuracy']:.1f} | {100 * neighbour:.1f} |"
    )


def start_to_answer(times: int = 7) -> list[float]:
    """Seconds of the whole command on one scan, start-up included."""
    command = [sys.executable, "-m", "syngony", "determine", str(EXAMPLE), "--json"]
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("patterns", type=Path)
    parser.add_argument("--model", default="mobilenetv2")
    parser.add_argument("--limit", type=int, help="of the structures")
    parser.add_argument("--write-card", action="store_true", help="write the figures into the network's card")
    arguments = parser.parse_args()
    network = Network.load(arguments.model)
    alone = Witnesses(arguments.model, evidence=("network",))
    print(f"{network.name}, sha256 {network.card['sha256'][:16]}")
    header = (
        "patterns | n | crystal system, % (95 %) | macro F1 | space group, % | ECE | half coverage | majority | 1-NN"
    )
    print(f"| {header} |\n|{'---|' * 9}")
    figures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        held_out = Path(folder) / "held_out.parquet"
        split_table(arguments.structures, held_out, "test")
        for conditions in ("ideal", "lab"):
            report = evaluate_structures(alone, held_out, conditions, limit=arguments.limit)  # type: ignore[arg-type]
            print(row(f"simulated, {conditions}, formulas never trained on", report), flush=True)
            figures[f"held-out structures, {conditions}"] = f"{report['crystal_system']['accuracy']:.1%}"
    report = evaluate_patterns(alone, arguments.patterns)
    print(row("measured scans", report))
    figures[f"{report['n']} measured scans"] = f"{report['crystal_system']['accuracy']:.1%}"
    if arguments.write_card:
        card = network.path.with_suffix(".json")
        entries = json.loads(card.read_text()) | {"figures": figures}
        card.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    seconds = start_to_answer()
    print(
        f"\n`syngony determine` on one scan, start-up included: median {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f}-{max(seconds):.2f}, {len(seconds)} runs)"
    )
    print(
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, syngony {syngony.__version__}, numpy {numpy.__version__}, "
        f"onnxruntime {onnxruntime.__version__}"
    )


if __name__ == "__main__":
    main()

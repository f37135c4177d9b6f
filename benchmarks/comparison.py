"""Every network and the baselines on the same held-out structures and scans, with what each of them costs.

    python benchmarks/comparison.py ../shared/data/materials_project.parquet \\
        ../shared/data/measured_patterns.parquet -o runs/comparison --budget 1000000
    python benchmarks/comparison.py ... --budget 300000 park2017-system=1000000       # more for one of them
    python benchmarks/comparison.py ... --budget 20000 --limit 500          # a quick look, in folders of its own

Rows are all networks that `syngony.networks` finds. Those that are not shipped (as ``NAME`` or ``NAME-LABEL``) are
trained first, as their publications train them, on the training side of the split by reduced formula: `--budget`
patterns each, and a network for each label where the publication has one. Structures are of the test side.
Trainings and evaluations go on where they were interrupted; finished ones are kept. Each network is asked alone: no
lattice search, no library. Nothing is fitted to the measured scans. Writes comparison.md and comparison.json into
OUTPUT and prints the tables.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syngony import networks
from syngony.errors import InputError
from syngony.evaluation import SimulatedPatterns, TrainingSet, Witnesses, evaluate_patterns, evaluate_structures
from syngony.inference import Network, shipped_models
from syngony.learning.split import split_table

CONDITIONS = ("ideal", "lab", "measured")
LABELS = ("crystal_system", "extinction_group", "space_group")
BASELINES = {
    "majority": "majority of the training structures",
    "nearest neighbour": "nearest training structure",
    "trees on line positions": "trees on line positions",
}
PUBLISHED = {"trees on line positions": "Suzuki 2020: ICSD, simulated: system above 90 but for triclinic"}

DEFAULT_BUDGET = 1_000_000

_BATCH = 64


@dataclass(frozen=True)
class Row:
    """One network: shipped, or to be trained for one label."""

    network: str
    head: str | None = None

    @property
    def name(self) -> str:
        """Of the row."""
        return self.network if self.head is None else f"{self.network}, {self.head.replace('_', ' ')}"

    @property
    def key(self) -> str:
        """Of the row in file names and budgets."""
        return self.network if self.head is None else f"{self.network}-{self.head}"


def budgets_of(texts: Sequence[str]) -> dict[str, int]:
    """Patterns by key or name of a network, from ``300000`` (all that are not named: the empty name) and
    ``park2017-system=1000000``.

    Raises:
        ValueError: no number, or a name that no network has.
    """
    budgets = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if name and name.split("-")[0] not in networks.names():
            raise ValueError(f"{name}: no such network, choose one of {', '.join(networks.names())}")
        budgets[name] = int(number)
    return budgets


def budget_of(row: Row, budgets: dict[str, int]) -> int:
    """Patterns that a row is trained on: what its key says, or its network, or all."""
    return next(budgets[name] for name in (row.key, row.network, "") if name in budgets)


def rows_of(names: Sequence[str]) -> list[Row]:
    """A row for each network, or for each label that its publication trains one for; for one label where the name is a
    row's key.

    Raises:
        InputError: no such network, or no row of that label.
    """
    rows = []
    for name in names:
        network, _, label = name.partition("-")
        heads = getattr(networks.network(network), "HEADS", (None,))
        of_network = [Row(network)] if network in shipped_models() else [Row(network, head) for head in heads]
        chosen = [row for row in of_network if not label or row.key == name]
        if not chosen:
            raise InputError(f"{name}: choose one of {', '.join(row.key for row in of_network)}")
        rows += chosen
    return rows


def trained(row: Row, arguments: argparse.Namespace) -> Path:
    """The network's ONNX file, trained at the budget if it is not there."""
    from syngony.learning.export import export_run
    from syngony.learning.recipes import train_recipe

    budget = budget_of(row, arguments.budgets)
    name = f"{row.key}-{arguments.recipe}-{budget}"
    run, model = arguments.output / "runs" / name, arguments.output / "models" / f"{name}.onnx"
    if not model.is_file():
        print(f"training {name}", flush=True)
        train_recipe(
            row.network,
            arguments.structures,
            run,
            recipe=arguments.recipe,
            head=row.head,
            resume=True,
            patterns=budget,
            threads=arguments.threads,
            processes=arguments.processes,
            cache=arguments.cache or arguments.output / "cache",
            progress=False,
        )
        export_run(run, model)
    return model


def evaluated(model: str, conditions: str, held_out: Path, arguments: argparse.Namespace, learn: bool) -> dict:
    """The report of one network in one kind of conditions; with `learn`, that of the baselines too."""
    network = Network.load(model)
    place = arguments.output / "evaluations" / f"{network.name}-{network.card['sha256'][:12]}-{conditions}"
    place = place.with_name(f"{place.name}-{arguments.limit or 'all'}")
    kept = place / f"report{f'-{arguments.learned}' if learn else ''}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    witnesses = Witnesses(model, evidence=("network",))
    training = None
    if learn:
        training = TrainingSet(arguments.structures, arguments.learned, folder=arguments.output / "baselines")
    if conditions == "measured":
        report = evaluate_patterns(witnesses, arguments.patterns, training=training, folder=place)
    else:
        report = evaluate_structures(
            witnesses, held_out, conditions, limit=arguments.limit, training=training, folder=place
        )  # type: ignore[arg-type]
    write(kept, json.dumps(report))
    return report


def write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


def speed(model: str, held_out: Path, number: int = 4 * _BATCH) -> float:
    """Laboratory scans a second of one core, from the scan to the probabilities."""
    network = Network.load(model)
    scans = SimulatedPatterns(held_out, "lab", limit=number)
    patterns = [scans[place].pattern for place in range(len(scans))]
    network.scores(np.stack([network.view(pattern) for pattern in patterns[:2]]))  # compiled and loaded
    began = time.process_time()
    for _ in network.scores_in_batches((network.view(pattern) for pattern in patterns), _BATCH):
        pass
    return len(patterns) / (time.process_time() - began)


def result_of(row: Row, held_out: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """All that the tables say of a network."""
    shipped = row.key in shipped_models()
    model = row.key if shipped else str(trained(row, arguments))
    card = Network.load(model).card
    seconds = card.get("core_seconds")
    result: dict[str, Any] = {
        "name": row.name,
        "shipped": shipped,
        "parameters": card["parameters"],
        "patterns": (card.get("training") or {}).get("patterns"),
        "core_hours": None if seconds is None else seconds / 3600,
        "patterns_a_second": speed(model, held_out),
        "published": getattr(networks.network(row.network), "PUBLISHED", ""),
    }
    for conditions in CONDITIONS:
        report = evaluated(model, conditions, held_out, arguments, learn=False)
        result[conditions] = {label: figure(report[label], report["n"]) for label in LABELS}
    return result


def baselines(held_out: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What the tables say of the baselines; a shipped network's patterns are theirs."""
    reports = {c: evaluated(shipped_models()[0], c, held_out, arguments, learn=True) for c in CONDITIONS}
    results = []
    for name, key in BASELINES.items():
        rows = {conditions: report["baselines"][key] for conditions, report in reports.items()}
        result: dict[str, Any] = {
            "name": name,
            "key": "baselines",
            "published": PUBLISHED.get(name, ""),
            "patterns": rows["lab"]["trained_on"],
            "core_hours": rows["lab"]["seconds"] / 3600,
        }
        for conditions, row in rows.items():
            result[conditions] = {
                "crystal_system": figure(row, reports[conditions]["n"]),
                "extinction_group": None,
                "space_group": figure(row["space_group"], reports[conditions]["n"]),
            }
        results.append(result)
    return results


def figure(row: dict[str, Any], n: int) -> dict[str, Any] | None:
    """Accuracy with its interval; None where the network does not tell."""
    return None if row["accuracy"] is None else {"accuracy": row["accuracy"], "interval": row["interval"], "n": n}


def shown(row: dict[str, Any] | None) -> str:
    """``82.0 (81.1-82.9)``."""
    if row is None:
        return "–"
    low, high = row["interval"]
    return f"{100 * row['accuracy']:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def tables(results: Sequence[dict[str, Any]], command: str) -> str:
    """Costs and accuracies as Markdown."""
    lines = [
        "| row | parameters | patterns trained on | core hours of training | scans a core second "
        "| published, on other data or another split: not comparable | command |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        hours = "–" if r.get("core_hours") is None else f"{r['core_hours']:.2f}"
        cost = [f"{r[k]:,.0f}" if r.get(k) else "–" for k in ("parameters", "patterns", "patterns_a_second")]
        rerun = f"{command} --rows {r['key']}"
        lines.append(
            f"| {r['name']}{' (shipped)' if r.get('shipped') else ''} | {cost[0]} | {cost[1]} | {hours} | {cost[2]} "
            f"| {r['published'] or '–'} | `{rerun}` |"
        )
    for conditions in CONDITIONS:
        count = next(r[conditions]["crystal_system"]["n"] for r in results)
        lines += ["", f"**{conditions}**, {count:,} patterns, % right (95 %):", ""]
        lines += ["| row | crystal system | extinction group | space group |", "|---|---|---|---|"]
        lines += [f"| {r['name']} | " + " | ".join(shown(r[conditions][k]) for k in LABELS) + " |" for r in results]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("patterns", type=Path, help="measured ones")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/comparison"))
    parser.add_argument(
        "--budget",
        nargs="+",
        default=[str(DEFAULT_BUDGET)],
        metavar="PATTERNS | NAME=PATTERNS",
        help="patterns that each network, or the one named, is trained on",
    )
    parser.add_argument("--recipe", choices=("paper", "robust"), default="paper", help="of what is trained")
    parser.add_argument("--learned", type=int, default=20_000, help="structures that baselines learn from")
    parser.add_argument("--limit", type=int, help="structures of the test side, a random sample; all when omitted")
    parser.add_argument("--rows", nargs="*", help="only these networks, or NAME-LABEL; `baselines`: those")
    parser.add_argument("--cache", type=Path, help="folder of computed lines; OUTPUT/cache when omitted")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--processes", type=int, default=1, help="of a training, each with its share of a batch")
    arguments = parser.parse_args()
    wanted = arguments.rows if arguments.rows is not None else ["baselines", *networks.names()]
    try:
        arguments.budgets = {"": DEFAULT_BUDGET} | budgets_of(arguments.budget)
    except ValueError as error:
        parser.error(f"--budget: {error}")
    try:
        rows = rows_of([name for name in wanted if name != "baselines"])
    except InputError as error:
        parser.error(f"--rows: {error}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    held_out = arguments.output / "held_out.parquet"
    if not held_out.is_file():
        split_table(arguments.structures, held_out, "test")
    results = baselines(held_out, arguments) if "baselines" in wanted else []
    for row in rows:
        results.append({"key": row.key, **result_of(row, held_out, arguments)})
        print(f"done: {row.name}", flush=True)
    budget = f"--budget {' '.join(arguments.budget)} --recipe {arguments.recipe}"
    command = f"python benchmarks/comparison.py STRUCTURES PATTERNS {budget}"
    if arguments.limit:
        command += f" --limit {arguments.limit}"
    text = tables(results, command)
    versions = f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}"
    text += f"\n\n{versions}; baselines learn from {arguments.learned:,} structures at most.\n"
    write(arguments.output / "comparison.md", text)
    write(arguments.output / "comparison.json", json.dumps(results, indent=1) + "\n")
    print("\n" + text)


if __name__ == "__main__":
    main()

"""Why 54 %? Each suspect of the paper settled by a controlled run.

    python benchmarks/why_54.py ../shared/data/materials_project.parquet -o runs/why_54

Same structures, same budget and the same formula-disjoint test for every row but the one thing that
the row changes. Runs resume; finished rows are kept. Prints the table of docs/the-paper.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from syngony import metrics
from syngony.diffraction.profile import PaperGrid
from syngony.inference import scores_from_logits
from syngony.learning.calibration import collect_logits
from syngony.learning.classifier import Classifier
from syngony.learning.line_cache import LineCache, build_line_cache
from syngony.learning.patterns import RenderedPatterns, Renderer
from syngony.learning.settings import TrainingSettings
from syngony.learning.split import formula_position
from syngony.learning.training import load_run, train
from syngony.structure_table import StructureRecord, read_table
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index, space_group_of
from syngony.views import ImageView, ProfileView, view_from_dict

IMAGE = {"size": 48}
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Row:
    """One suspect: what the row changes against the first one."""

    name: str
    suspect: str
    view: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    sigma: float = 5.0
    split: str = "formula"
    tolerance: float = 0.1
    profile: bool = False
    every_structure: bool = False


ROWS = (
    Row("baseline", "the paper's: folded square, viridis, linear, sigma 5, natural proportions, 7 outputs"),
    Row("stripe", "square drawn as a stripe, not folded", {"layout": "stripe"}),
    Row("gray", "colour map: gray", {"colour_map": "gray"}),
    Row("inferno", "colour map: inferno (dark)", {"colour_map": "inferno"}),
    Row("sqrt", "too dark: square-root intensity", {"intensity": "sqrt"}),
    Row("roots", "too dark: v, v^1/2 and v^1/4 as red, green, blue", {"colour_map": "roots"}),
    Row("sigma-2", "filter: sigma 2 grid points", sigma=2.0),
    Row("sigma-15", "filter: sigma 15 grid points", sigma=15.0),
    Row("balanced", "imbalance: each system drawn equally often", settings={"balance": True}),
    Row("residual-1d", "2-D net for 1-D data: residual 1-D net, same points, equal cost", profile=True),
    Row("tolerance-0.01", "label tolerance 0.01 Å in place of 0.1", tolerance=0.01),
    Row("random-split", "random split, formulas on both sides", split="random"),
    Row("every-structure", "more data: all other structures of the table to train on", every_structure=True),
    Row("seed-1", "nothing but the seed: what chance alone does", settings={"seed": 1}),
    Row("ln-q-roots", "several at once: ln Q axis, roots", {"axis": "ln_q", "colour_map": "roots"}),
)


def settings_of(row: Row, patterns: int) -> TrainingSettings:
    """Training settings of a row."""
    image = dict(IMAGE) | row.view
    two_theta_range = (5.06, 90.0) if image.get("axis") == "ln_q" else (0.0, 90.0)
    if row.profile:
        view: ProfileView | ImageView = ProfileView(
            "two_theta", image["size"] ** 2, two_theta_range, image.get("intensity", "linear"), False
        )
    else:
        view = ImageView(two_theta_range=two_theta_range, **image)
    return TrainingSettings(
        network="residual_1d" if row.profile else "mobilenetv2",
        view=view.as_dict(),
        patterns=patterns,
        epoch_patterns=16_000,
        validation_patterns=1_000,
        batch_size=32,
        learning_rate=2e-3,
        threads=1,
        **row.settings,
    )


def split(cache: LineCache, kind: str, sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows of the cache, 80 to 20; the test is drawn from the sample (material ids) alone."""
    if kind == "formula":
        position = np.array([formula_position(f) for f in cache.formula])
    else:
        position = np.random.default_rng(1).random(len(cache))
    tested = (position < TEST_SHARE) & np.isin(cache.material_id, sample)
    return np.flatnonzero(position >= TEST_SHARE), np.flatnonzero(tested)


def relabel(table: Path, rows: np.ndarray, tolerance: float, root: Path) -> np.ndarray:
    """Space groups at another spglib tolerance, kept in a file."""
    place = root / f"labels-{tolerance:g}.json"
    if not place.is_file():
        records = (StructureRecord.from_row(r) for r in read_table(table).take(rows).to_pylist())
        place.write_text(json.dumps([space_group_of(r.structure, tolerance) for r in records]))
    return np.array(json.loads(place.read_text()))


def run_row(
    row: Row, cache: LineCache, labels: np.ndarray, sample: np.ndarray, root: Path, patterns: int
) -> dict[str, Any]:
    """Train and test one row, or give its kept result."""
    place = root / row.name / "result.json"
    if place.is_file():
        return json.loads(place.read_text())
    settings = settings_of(row, patterns)
    renderer = Renderer(
        cache, view_from_dict(settings.view), "ideal", PaperGrid(sigma=row.sigma), keep=not row.every_structure
    )
    train_rows, test_rows = split(cache, row.split, sample)
    arguments = (settings, cache, root / row.name, train_rows, test_rows)
    train(*arguments, resume=True, progress=False, labels=labels, renderer=renderer)
    model = load_run(root / row.name, "last")
    test = RenderedPatterns(renderer, test_rows, batch_size=128, shuffle=False, labels=labels)
    logits, systems = collect_logits(model, test)
    report = metrics.crystal_system_report(scores_from_logits(logits).systems, systems)
    result = {
        "name": row.name,
        "suspect": row.suspect,
        "accuracy": report["accuracy"],
        "interval": report["interval"],
        "macro_f1": report["macro_f1"],
        "recall": {k: v["recall"] for k, v in report["per_class"].items()},
        "confusion_matrix": report["confusion_matrix"],
        "test": len(test_rows),
        "parameters": sum(p.numel() for p in model.network.parameters()),
    }
    place.write_text(json.dumps(result, indent=1))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/why_54"))
    parser.add_argument("--limit", type=int, default=20_000, help="structures")
    parser.add_argument("--patterns", type=int, default=96_000, help="budget of each row")
    parser.add_argument("--rows", nargs="*", help="only these")
    arguments = parser.parse_args()
    root = arguments.output
    root.mkdir(parents=True, exist_ok=True)
    total = read_table(arguments.structures, ["material_id"]).num_rows
    rows = np.sort(np.random.default_rng(0).choice(total, min(arguments.limit, total), replace=False))
    cache = build_line_cache(arguments.structures, root / "cache", rows=rows)
    results = []
    for row in ROWS:
        if arguments.rows and row.name not in arguments.rows:
            continue
        lines = build_line_cache(arguments.structures, root / "cache") if row.every_structure else cache
        labels = np.asarray(lines.space_group)
        if row.tolerance != 0.1:
            labels = relabel(arguments.structures, rows, row.tolerance, root)
        results.append(run_row(row, lines, labels, cache.material_id, root, arguments.patterns))
        print(json.dumps(results[-1]), flush=True)
    print_table(results, arguments)
    if not arguments.rows:
        print_cost(arguments.patterns)
        print_remarks(results[0], cache, relabel(arguments.structures, rows, 0.01, root))


def print_table(results: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Markdown, as docs/the-paper.md shows it."""
    print(
        f"\n{arguments.limit:,} structures, {arguments.patterns:,} patterns a row; torch {torch.__version__}, "
        f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| row | what it changes | accuracy, % (95 %) | macro F1 |")
    print("|---|---|---|---|")
    for r in results:
        low, high = r["interval"]
        print(
            f"| `{r['name']}` | {r['suspect']} | {100 * r['accuracy']:.1f} ({100 * low:.1f}-{100 * high:.1f}) "
            f"| {r['macro_f1']:.3f} |"
        )


def print_cost(patterns: int) -> None:
    """Training cost of the two networks: patterns a second, interleaved, median and range of five turns."""
    torch.set_num_threads(1)
    rows = {row.name: row for row in ROWS if row.name in ("baseline", "residual-1d")}
    models, batches, speeds = {}, {}, {name: [] for name in rows}
    for name, row in rows.items():
        settings = settings_of(row, patterns)
        view = view_from_dict(settings.view)
        models[name] = Classifier(settings, view, 1)
        batches[name] = torch.rand(settings.batch_size, *view.shape)
    for _ in range(5):
        for name, model in models.items():
            optimiser = torch.optim.AdamW(model.parameters(), fused=True)
            began = time.perf_counter()
            for _ in range(10):
                optimiser.zero_grad()
                model(batches[name]).square().mean().backward()
                optimiser.step()
            speeds[name].append(10 * len(batches[name]) / (time.perf_counter() - began))
    for name, speed in speeds.items():
        count = sum(p.numel() for p in models[name].parameters())
        low, middle, high = min(speed), float(np.median(speed)), max(speed)
        print(f"{name}: {count:,} parameters, {middle:.0f} patterns a second in training ({low:.0f}-{high:.0f})")


def print_remarks(baseline: dict[str, Any], cache: LineCache, finer: np.ndarray) -> None:
    """What the confusion matrix says of systems that look alike, and what the tolerance does to labels."""
    matrix = np.array(baseline["confusion_matrix"])
    print("\nrecall of the baseline and where each system's errors go:")
    for i, name in enumerate(CRYSTAL_SYSTEMS):
        errors = matrix[i].copy()
        errors[i] = 0
        worst = int(errors.argmax())
        print(f"  {name}: recall {matrix[i, i] / matrix[i].sum():.2f}, most often called {CRYSTAL_SYSTEMS[worst]}")
    merged = matrix.copy()
    merged[4] += merged[5]
    merged[:, 4] += merged[:, 5]
    alike = np.trace(np.delete(np.delete(merged, 5, 0), 5, 1)) / matrix.sum()
    print(f"accuracy with trigonal and hexagonal as one: {alike:.1%}")
    changed = [
        crystal_system_index(int(a)) != crystal_system_index(int(b))
        for a, b in zip(cache.space_group, finer, strict=True)
    ]
    print(f"labels of the crystal system that differ between 0.01 and 0.1 Å: {np.mean(changed):.1%}")


if __name__ == "__main__":
    main()

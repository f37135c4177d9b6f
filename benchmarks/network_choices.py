"""What makes the network good: one choice changed at a time, at a small budget.

    python benchmarks/network_choices.py ../shared/data/materials_project.parquet -o runs/choices

Every row sees the same structures in the same order and is measured on the same held-out formulas, in ideal and in
laboratory conditions. Runs resume; finished rows are kept. Prints the table of docs/network.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from syngony.inference import scores_from_logits
from syngony.learning.line_cache import JoinedLines, LineCache, Lines, build_line_cache
from syngony.learning.patterns import RenderedPatterns, Renderer
from syngony.learning.recipes import recipe_settings
from syngony.learning.settings import TrainingSettings
from syngony.learning.split import sides_of
from syngony.learning.training import load_run, train
from syngony.symmetry import CRYSTAL_SYSTEMS, SYSTEM_OF_GROUP
from syngony.views import ProfileView, view_from_dict


@dataclass(frozen=True)
class Row:
    """What a row changes against the first one."""

    name: str
    about: str
    view: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    network: str = "syngony"
    budget: float = 1.0  # patterns, relative to the other rows


_REFERENCE = (32, 48, 64, 96, 128, 192)
REFERENCE_VIEW = ProfileView()

ROWS = (
    Row("reference", "convolutions alone, ln Q, 4,096 points, square root"),
    Row(
        "attention", "one block less, three layers of attention", options={"layers": 3, "widths": (24, 48, 64, 96, 128)}
    ),
    Row("lines", "attention between lines alone, no profile", network="line_attention"),
    Row("two-theta", "axis 2θ", view={"axis": "two_theta"}),
    Row("2048", "half the points", view={"points": 2048}),
    Row("synthetic-third", "2,048 points; a third synthetic crystals", {"points": 2048}, {}, {"also_share": 1 / 3}),
    Row("synthetic-alone", "2,048 points; synthetic crystals alone", {"points": 2048}, {}, {"also_share": 1.0}),
    Row("2048-twice", "half the points, twice the patterns: equal cost", view={"points": 2048}, budget=2.0),
    Row("fourth-root", "a second channel of fourth roots: weak lines", view={"intensity": "sqrt+fourth root"}),
    Row("measured", "a second channel that tells where the scan measured", view={"measured": True}),
    Row("both-channels", "both of these channels", view={"intensity": "sqrt+fourth root", "measured": True}),
    Row("kernel-5", "kernel 5", options={"kernel": 5}),
    Row(
        "half-width", "half the channels, twice the patterns", options={"widths": (16, 24, 32, 48, 64, 96)}, budget=2.0
    ),
    Row("rate-1e-3", "learning rate 1e-3", settings={"learning_rate": 1e-3}),
    Row("rate-4e-3", "learning rate 4e-3", settings={"learning_rate": 4e-3}),
    Row("lab-only", "laboratory patterns alone", settings={"ideal_share": 0.0}),
    Row("half-ideal", "half of the patterns ideal", settings={"ideal_share": 0.5}),
)


def settings_of(row: Row, patterns: int) -> TrainingSettings:
    """Training settings of a row."""
    base = recipe_settings(row.network, "robust", round(row.budget * patterns))
    changes: dict[str, Any] = {
        "view": (REFERENCE_VIEW.as_dict() if row.network == "syngony" else base.view) | row.view,
        "network_options": ({"widths": _REFERENCE} if row.network == "syngony" else {}) | row.options,
        "epoch_patterns": min(16_000, patterns),
        "validation_patterns": 500,
        "schedule": "cycle",
        "threads": 1,
    }
    return replace(base, **(changes | row.settings))


def run_row(row: Row, caches: list[LineCache], root: Path, patterns: int, tested: int) -> dict[str, Any]:
    """Train and test one row, or give its kept result."""
    place = root / row.name / "result.json"
    if place.is_file():
        return json.loads(place.read_text())
    settings = settings_of(row, patterns)
    cache: Lines = caches[0]
    if settings.also_share:
        cache = JoinedLines(caches)
    further = np.arange(len(caches[0]), len(cache))
    sides = sides_of(caches[0].formula)
    train_rows, held_out = np.flatnonzero(sides == "train"), np.flatnonzero(sides == "validation")
    began = time.process_time()
    train(settings, cache, root / row.name, train_rows, held_out, resume=True, progress=False, also=further)
    seconds = time.process_time() - began
    model = load_run(root / row.name, "last")
    result: dict[str, Any] = {"name": row.name, "about": row.about, "core_seconds": round(seconds)}
    for conditions in ("ideal", "lab"):
        renderer = Renderer(cache, view_from_dict(settings.view), conditions)
        patterns_of = RenderedPatterns(renderer, held_out[:tested], batch_size=128, seed=4_712, shuffle=False)
        logits, groups = [], []
        with torch.inference_mode():
            for inputs, _, group in patterns_of:
                logits.append(model(inputs).numpy())
                groups.append(group.numpy())
        joined, group = np.concatenate(logits), np.concatenate(groups)
        systems = scores_from_logits(joined).systems.argmax(1)
        result[conditions] = {
            "system": float((systems == SYSTEM_OF_GROUP[group]).mean()),
            "space_group": float((joined.argmax(1) == group).mean()),
        }
    result |= {"tested": len(group), "parameters": sum(p.numel() for p in model.network.parameters())}
    result |= {"settings": asdict(settings), "systems": list(CRYSTAL_SYSTEMS)}
    place.write_text(json.dumps(result, indent=1))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/choices"))
    parser.add_argument("--also", type=Path, help="a table of synthetic crystals, for the rows that use it")
    parser.add_argument("--cache", type=Path, help="folder of computed lines; OUTPUT/cache if omitted")
    parser.add_argument("--patterns", type=int, default=64_000, help="budget of each row")
    parser.add_argument("--tested", type=int, default=3_000, help="held-out structures, at most")
    parser.add_argument("--rows", nargs="*", help="only these")
    arguments = parser.parse_args()
    place = arguments.cache or arguments.output / "cache"
    tables = [arguments.structures] if arguments.also is None else [arguments.structures, arguments.also]
    caches = [build_line_cache(table, place) for table in tables]
    results = []
    for row in ROWS:
        if not arguments.rows or row.name in arguments.rows:
            results.append(run_row(row, caches, arguments.output, arguments.patterns, arguments.tested))
            print(json.dumps({k: v for k, v in results[-1].items() if k != "settings"}), flush=True)
    print(
        f"\n{arguments.patterns:,} patterns a row, {results[0]['tested']:,} held-out structures; torch "
        f"{torch.__version__}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| row | what it changes | parameters | ideal: system / space group, % | lab | core s |")
    print("|---|---|---|---|---|---|")
    for r in results:
        figures = [f"{100 * r[c]['system']:.1f} / {100 * r[c]['space_group']:.1f}" for c in ("ideal", "lab")]
        cost = f"{r['parameters']:,} | {figures[0]} | {figures[1]} | {r['core_seconds']}"
        print(f"| `{r['name']}` | {r['about']} | {cost} |")


if __name__ == "__main__":
    main()

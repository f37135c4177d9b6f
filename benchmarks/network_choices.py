"""What makes the network good: one choice changed at a time, at a small budget.

    syngony data fetch synthetic -o runs/synthetic.parquet --count 30000
    python benchmarks/network_choices.py ../shared/data/materials_project.parquet -o runs/choices \\
        --also runs/synthetic.parquet --measured ../shared/data/measured_patterns.parquet

Every row sees the same structures in the same order and is measured on the same held-out formulas, in ideal and in
laboratory conditions, and on measured scans. Runs resume; finished rows are kept. Prints the table of
docs/network.md.
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

from syngony.diffraction.laboratory import Laboratory
from syngony.evaluation import read_labelled_patterns
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
    laboratory: dict[str, Any] = field(default_factory=dict)  # of the training patterns
    network: str = "syngony"
    budget: float = 1.0  # patterns, relative to the other rows


SHIPPED_VIEW = ProfileView(points=2048, intensity="sqrt+fourth root", measured=True).as_dict()
_LONG = {"points": 4096, "intensity": "sqrt", "measured": False}
_WIDTHS = (32, 48, 64, 96, 128, 192)
_NONE = (0.0, 0.0)

CHOICES = (
    Row("reference", "as shipped: ln Q, 2,048 points, square and fourth root, what was measured"),
    Row("two-theta", "axis 2θ", view={"axis": "two_theta"}),
    Row("4096-points", "twice the points", view={"points": 4096}),
    Row("no-fourth-root", "without the fourth root: weak lines", view={"intensity": "sqrt"}),
    Row("no-measured", "without what was measured", view={"measured": False}),
    Row("kernel-5", "kernel 5", options={"kernel": 5}),
    Row(
        "half-width", "half the channels, twice the patterns", options={"widths": (16, 24, 32, 48, 64, 96)}, budget=2.0
    ),
    Row("lines", "attention between lines alone, no profile", network="line_attention"),
    Row("rate-1e-3", "learning rate 1e-3", settings={"learning_rate": 1e-3}),
    Row("rate-4e-3", "learning rate 4e-3", settings={"learning_rate": 4e-3}),
    Row("lab-only", "laboratory patterns alone", settings={"ideal_share": 0.0}),
    Row("half-ideal", "half of the patterns ideal", settings={"ideal_share": 0.5}),
    Row("ideal-only", "ideal patterns alone", settings={"conditions": "ideal"}),
    Row("synthetic-third", "a third synthetic crystals", settings={"also_share": 1 / 3}),
    Row("synthetic-alone", "synthetic crystals alone", settings={"also_share": 1.0}),
)
"""Of architecture, axis and data."""

AUGMENTATIONS = (
    Row("no-strain", "cells as computed, unstrained", laboratory={"scale_strain": _NONE, "lattice_strain": 0.0}),
    Row("no-texture", "no texture", laboratory={"texture_share": 0.0}),
    Row("no-grains", "no scatter of intensities by coarse grains", laboratory={"grain_spread": _NONE}),
    Row(
        "no-shift", "no zero shift, displacement, transparency",
        laboratory={"zero_shift": _NONE, "displacement": _NONE, "transparency": _NONE},
    ),
    Row("no-broadening", "no broadening by size and strain", laboratory={"broadened_share": 0.0}),
    Row("no-noise", "no noise to speak of, no spikes", laboratory={"counts": (2e5, 2e5), "spike_share": 0.0}),
    Row(
        "no-background", "no background, air scatter, hump, fluorescence",
        laboratory={"background": _NONE, "hump_share": 0.0, "fluorescence_share": 0.0, "subtracted_share": 0.0},
    ),
    Row("no-impurity", "no second phase", laboratory={"impurity_share": 0.0}),
    Row(
        "copper", "Kα of copper alone, from 5 to 90 degrees",
        laboratory={"tubes": (("Cu", 1.0),), "synchrotron_share": 0.0, "full_range_share": 1.0},
    ),
)  # fmt: skip
"""What the laboratory of training leaves out, one effect at a time; held-out scans have them all."""

FIRST_CHOICES = (
    Row("4096", "convolutions alone, ln Q, 4,096 points, square root", _LONG, {"widths": _WIDTHS}),
    Row(
        "4096-attention",
        "one block less, three layers of attention",
        _LONG,
        {"layers": 3, "widths": (24, 48, 64, 96, 128)},
    ),
    Row("4096-both", "fourth root and what was measured as well", {"points": 4096}, {"widths": _WIDTHS}),
    Row(
        "2048-twice",
        "half the points, twice the patterns: equal cost",
        {**_LONG, "points": 2048},
        {"widths": _WIDTHS},
        budget=2.0,
    ),
)
"""What settled attention and the number of points, against `4096`."""

ROWS = (*CHOICES, *AUGMENTATIONS, *FIRST_CHOICES)


SCANS = ("ideal", "lab", "measured")


def settings_of(row: Row, patterns: int) -> TrainingSettings:
    """Training settings of a row."""
    base = recipe_settings(row.network, "robust", round(row.budget * patterns))
    changes: dict[str, Any] = {
        "view": (SHIPPED_VIEW if row.network == "syngony" else base.view) | row.view,
        "network_options": row.options,
        "epoch_patterns": min(16_000, patterns),
        "validation_patterns": 500,
        "schedule": "cycle",
        "threads": 1,
    }
    return replace(base, **(changes | row.settings))


def run_row(row: Row, caches: list[LineCache], arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and test one row, or give its kept result."""
    place = arguments.output / row.name / "result.json"
    result = json.loads(place.read_text()) if place.is_file() else trained(row, caches, arguments)
    if arguments.measured is not None and "measured" not in result:
        result["measured"] = on_measured(arguments.output / row.name, arguments.measured)
    place.write_text(json.dumps(result, indent=1))
    return result


def on_measured(run: Path, table: Path) -> dict[str, float]:
    """Shares of measured scans that a run's network names rightly."""
    model = load_run(run, "last")
    view = view_from_dict(model.settings.view)
    scans = read_labelled_patterns(table)
    with torch.inference_mode():
        logits = np.concatenate([model(torch.from_numpy(view(scan.pattern)[None])).numpy() for scan in scans])
    systems = scores_from_logits(logits).systems.argmax(1)
    pairs = zip(systems, logits.argmax(1), scans, strict=True)
    right = [(SYSTEM_OF_GROUP[scan.space_groups[0] - 1] == s, g + 1 in scan.space_groups) for s, g, scan in pairs]
    return {"system": float(np.mean([a for a, _ in right])), "space_group": float(np.mean([b for _, b in right]))}


def trained(row: Row, caches: list[LineCache], arguments: argparse.Namespace) -> dict[str, Any]:
    """Train a row and test it on held-out structures."""
    root, tested = arguments.output, arguments.tested
    settings = settings_of(row, arguments.patterns)
    cache: Lines = caches[0]
    if settings.also_share:
        cache = JoinedLines(caches)
    further = np.arange(len(caches[0]), len(cache))
    sides = sides_of(caches[0].formula)
    train_rows, held_out = np.flatnonzero(sides == "train"), np.flatnonzero(sides == "validation")
    began = time.process_time()
    drawn = Laboratory(**row.laboratory)
    view = view_from_dict(settings.view)
    renderer = Renderer(cache, view, settings.conditions, laboratory=drawn, ideal_share=settings.ideal_share)
    train(
        settings, cache, root / row.name, train_rows, held_out,
        resume=True, progress=False, also=further, renderer=renderer,
    )  # fmt: skip
    seconds = time.process_time() - began
    model = load_run(root / row.name, "last")
    result: dict[str, Any] = {"name": row.name, "about": row.about, "core_seconds": round(seconds)}
    for conditions in ("ideal", "lab"):
        shown = Renderer(cache, view, conditions)
        patterns_of = RenderedPatterns(shown, held_out[:tested], batch_size=128, seed=4_712, shuffle=False)
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
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/choices"))
    parser.add_argument("--also", type=Path, help="a table of synthetic crystals, for the rows that use it")
    parser.add_argument("--measured", type=Path, help="a table of measured scans")
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
            results.append(run_row(row, caches, arguments))
            print(json.dumps({k: v for k, v in results[-1].items() if k != "settings"}), flush=True)
    print(
        f"\n{arguments.patterns:,} patterns a row, {results[0]['tested']:,} held-out structures; torch "
        f"{torch.__version__}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| row | what it changes | parameters | ideal: system / space group, % | lab | measured | core s |")
    print("|---|---|---|---|---|---|---|")
    for r in results:
        figures = [f"{100 * r[c]['system']:.1f} / {100 * r[c]['space_group']:.1f}" if c in r else "" for c in SCANS]
        cost = f"{r['parameters']:,} | {' | '.join(figures)} | {r['core_seconds']}"
        print(f"| `{r['name']}` | {r['about']} | {cost} |")


if __name__ == "__main__":
    main()

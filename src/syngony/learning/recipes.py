"""Ways to train that have a name: the paper's, and ours that survives a real scan."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.errors import InputError
from syngony.learning.calibration import collect_logits, fit_temperature, settle_batch_norm, write_temperature
from syngony.learning.classifier import Classifier
from syngony.learning.line_cache import JoinedLines, LineCache, Lines, build_line_cache
from syngony.learning.patterns import RenderedPatterns
from syngony.learning.settings import TrainingSettings
from syngony.learning.split import sides_of
from syngony.learning.training import load_run, renderer_of, save_weights, train
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index
from syngony.views import ImageView, LineListView, ProfileView, View

log = logging.getLogger(__name__)

RECIPES = ("paper", "robust")

DEFAULT_PATTERNS = 1_000_000

CALIBRATION_SEED = 4_711
SETTLING_PATTERNS = 25_600


def recipe_settings(network: str, recipe: str, patterns: int, **changes: Any) -> TrainingSettings:
    """Settings of a named recipe for a network.

    ``paper``: images by viridis of ideal patterns, 7 outputs. ``robust``: ln Q, square-root
    intensities, half of the patterns ideal and half from a drawn laboratory, 230 outputs of which
    systems are sums.

    Raises:
        InputError: no such recipe or network.
    """
    if recipe not in RECIPES:
        raise InputError(f"no recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    if network == "mobilenetv2":
        view: View = ImageView() if recipe == "paper" else robust_image()
    elif network == "residual_1d":
        view = ProfileView("two_theta", 4096, (0.0, 90.0), "linear", False) if recipe == "paper" else ProfileView()
    elif network == "syngony":
        view = ProfileView(points=2048, intensity="sqrt+fourth root", measured=True)
    elif network == "line_attention":
        view = LineListView()
    else:
        raise InputError(f"no network {network!r}: choose syngony, mobilenetv2 or residual_1d")
    defaults: dict[str, Any] = {
        "network": network,
        "view": view.as_dict(),
        "patterns": patterns,
        "epoch_patterns": min(20_000, patterns),
    }
    if recipe == "paper":
        defaults |= {"conditions": "ideal", "head": "system"}
    else:
        defaults |= {"conditions": "mixed", "head": "space_group"}
    if network in ("syngony", "line_attention"):
        defaults |= {"schedule": "steady", "ideal_share": 0.25, "learning_rate": 2e-3}
    return TrainingSettings(**(defaults | changes))


def robust_image() -> ImageView:
    """The image of the shipped MobileNetV2: 6,912 points of ln Q, eight octaves of Q in 48 rows."""
    return ImageView(
        size=48,
        colour_map="planes",
        axis="ln_q",
        two_theta_range=(5.06, 90.0),
        intensity="sqrt",
        background=True,
    )


def train_recipe(
    network: str,
    structures: Path | str,
    output: Path | str,
    *,
    recipe: str = "robust",
    resume: bool = False,
    patterns: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    threads: int = 0,
    cache: Path | None = None,
    also: Path | None = None,
    also_share: float = 0.3,
    progress: bool = True,
) -> Classifier:
    """``syngony train``: lines from the cache or computed, the split by formula, training, settling, calibration.

    Raises:
        InputError: unknown recipe or network, or a table too small to split.
        TableError, ModelError: see `build_line_cache` and `train`.
    """
    place = cache or Path(output) / "cache"
    table = build_line_cache(structures, place)
    lines: Lines = table if also is None else JoinedLines([table, build_line_cache(also, place)])
    identity: dict[str, Any] = {
        "batch_size": batch_size,
        "seed": seed,
        "threads": threads,
        "structures": lines.identity,
        "also_share": also_share if also is not None else 0.0,
    }
    begun = TrainingSettings.read(Path(output)) if resume and (Path(output) / "settings.json").is_file() else None
    total = patterns or (begun.patterns if begun else DEFAULT_PATTERNS)
    settings = recipe_settings(network, recipe, total, **identity)
    sides = sides_of(table.formula)
    train_rows, validation_rows = np.flatnonzero(sides == "train"), np.flatnonzero(sides == "validation")
    require_enough(table, train_rows, validation_rows, batch_size)
    further = np.arange(len(table), len(lines))
    train(settings, lines, output, train_rows, validation_rows, resume=resume, progress=progress, also=further)
    # The cycle ends at a rate of zero: the last weights are the annealed ones.
    model = load_run(output, "last")
    renderer = renderer_of(model.settings, lines)
    options: dict[str, Any] = {"batch_size": 128, "seed": CALIBRATION_SEED}
    settle_batch_norm(model, RenderedPatterns(renderer, train_rows, min(SETTLING_PATTERNS, max(total, 128)), **options))
    save_weights(model, output, "settled")
    held_out = RenderedPatterns(renderer, validation_rows, shuffle=False, **options)
    temperature = fit_temperature(*collect_logits(model, held_out))
    write_temperature(Path(output), temperature, len(validation_rows))
    return model


def require_enough(
    cache: LineCache, train_rows: NDArray[np.int64], held_out: NDArray[np.int64], batch_size: int
) -> None:
    """Raise `InputError` when a split leaves too little to train or to validate on."""
    if len(train_rows) < batch_size or len(held_out) == 0:
        raise InputError(
            f"{len(cache)} structures split into {len(train_rows)} to train and {len(held_out)} held out: "
            "too few; give a larger table"
        )
    present = {crystal_system_index(int(n)) for n in np.unique(cache.space_group[train_rows])}
    for index, name in enumerate(CRYSTAL_SYSTEMS):
        if index not in present:
            log.warning("no %s structure to train on: the network cannot learn to name it", name)

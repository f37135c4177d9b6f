"""Ways to train that have a name: the paper's, and ours that survives a real scan."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony import networks
from syngony.errors import InputError
from syngony.inference import Network
from syngony.learning.calibration import collect_logits, fit_temperature, settle_batch_norm, write_temperature
from syngony.learning.classifier import Classifier
from syngony.learning.distributed import is_first
from syngony.learning.line_cache import JoinedLines, LineCache, Lines, build_line_cache
from syngony.learning.patterns import RenderedPatterns
from syngony.learning.settings import TrainingSettings
from syngony.learning.split import sides_of
from syngony.learning.training import load_run, renderer_of, save_weights, train
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index
from syngony.views import View, ideal_grid, view_from_dict

log = logging.getLogger(__name__)

RECIPES = ("paper", "robust", "calculated")

DEFAULT_PATTERNS = 1_000_000

CALIBRATION_SEED = 4_711
SETTLING_PATTERNS = 25_600

_EPOCH = 20_000  # patterns, about
_BEYOND = 1.0  # degrees past the end of a view: a line there still shows its tail
_ROUND = 10.0  # degrees: views that end close to each other share their lines


def recipe_settings(network: str, recipe: str, patterns: int, **changes: Any) -> TrainingSettings:
    """Settings of a named recipe for a network: what all have in common, then what the network's own file says.

    ``paper``: ideal patterns, one output a crystal system, unless the network's publication does otherwise.
    ``robust``: half of the patterns ideal and half from a drawn laboratory, 230 outputs of which systems are sums.
    ``calculated``: as ``robust``, but from a laboratory without noise: for a network asked about such scans alone.

    Raises:
        InputError: no such recipe or network.
    """
    if recipe not in RECIPES:
        raise InputError(f"no recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    own = networks.network(network).recipe(recipe)
    epochs = max(1, round(patterns / _EPOCH))  # of equal length, so that a budget is kept to the pattern
    common: dict[str, Any] = {"network": network, "patterns": patterns, "epoch_patterns": round(patterns / epochs)}
    if recipe == "paper":
        common |= {"conditions": "ideal", "head": "system"}
    else:
        common |= {"conditions": "mixed" if recipe == "robust" else recipe, "head": "space_group"}
    return TrainingSettings(**(common | own | changes))


def train_recipe(
    network: str,
    structures: Path | str,
    output: Path | str,
    *,
    recipe: str = "robust",
    head: str | None = None,
    resume: bool = False,
    patterns: int | None = None,
    batch_size: int = 64,
    epoch_patterns: int | None = None,
    seed: int = 0,
    threads: int = 0,
    cache: Path | None = None,
    also: Path | None = None,
    also_share: float = 0.3,
    progress: bool = True,
    start: str | None = None,
    learning_rate: float | None = None,
    options: dict[str, Any] | None = None,
    processes: int = 1,
    machines: int = 1,
) -> Classifier:
    """``syngony train``: lines from the cache or computed, the split by formula, training, settling, calibration.

    Args:
        network: one of `syngony.networks.names`.
        structures: Parquet structure table.
        output: folder of the run.
        recipe: one of `RECIPES`.
        head: label of the outputs in place of the recipe's: see `TrainingSettings`.
        resume: go on with the run in the folder.
        patterns: budget; what the run was begun with when omitted, or `DEFAULT_PATTERNS`.
        batch_size, epoch_patterns, seed, threads, also_share: see `TrainingSettings`.
        cache: folder for computed lines.
        also: a further table.
        progress: show a progress bar.
        start: shipped network, or path of an ``.onnx`` file, whose weights are the first ones.
        learning_rate: in place of the recipe's.
        options: of the network, by the names of its file's ``build``, over those of the recipe.
        processes, machines: see `syngony.learning.distributed`; what follows training is done by the first alone.

    Raises:
        InputError: unknown recipe, network or option, a table too small to split, a batch that cannot be shared out.
        TableError, ModelError: see `build_line_cache` and `train`.
    """
    place = cache or Path(output) / "cache"
    begun = TrainingSettings.read(Path(output)) if resume and (Path(output) / "settings.json").is_file() else None
    total = patterns or (begun.patterns if begun else DEFAULT_PATTERNS)
    changes: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "threads": threads}
    if epoch_patterns is not None:
        changes["epoch_patterns"] = min(epoch_patterns, total)
    settings = recipe_settings(network, recipe, total, **changes)
    if head is not None:
        settings = replace(settings, head=head)
    if learning_rate is not None:
        settings = replace(settings, learning_rate=learning_rate)
    if options:
        networks.require_options(network, options)
        settings = replace(settings, network_options=settings.network_options | options)
    first = Network.load(start) if start is not None else None
    if first is not None:
        if (first.card["view"], first.card.get("head")) != (settings.view, settings.head):
            raise InputError(f"{start} sees or says something else than this run: choose the same network and head")
        settings = replace(settings, start=first.card["sha256"])
    if begun is not None and (begun.network, begun.head) != (settings.network, settings.head):
        raise InputError(f"{output} is a run of {begun.network} for the {begun.head}: choose another -o")
    view = view_from_dict(settings.view)
    table = lines_seen(view, structures, place)
    lines: Lines = table if also is None else JoinedLines([table, lines_seen(view, also, place)])
    settings = replace(settings, structures=lines.identity, also_share=also_share if also is not None else 0.0)
    sides = sides_of(table.formula)
    train_rows, validation_rows = np.flatnonzero(sides == "train"), np.flatnonzero(sides == "validation")
    require_enough(table, train_rows, validation_rows, batch_size)
    further = np.arange(len(table), len(lines))
    train(
        settings,
        lines,
        output,
        train_rows,
        validation_rows,
        resume=resume,
        progress=progress,
        also=further,
        start=first.path if first else None,
        processes=processes,
        machines=machines,
    )
    # The cycle ends at a rate of zero: the last weights are the annealed ones.
    model = load_run(output, "last")
    if not is_first():
        return model
    renderer = renderer_of(model.settings, lines)
    held: dict[str, Any] = {"batch_size": 128, "seed": CALIBRATION_SEED}
    settle_batch_norm(model, RenderedPatterns(renderer, train_rows, min(SETTLING_PATTERNS, max(total, 128)), **held))
    save_weights(model, output, "settled")
    held_out = RenderedPatterns(renderer, validation_rows, shuffle=False, **held)
    temperature = fit_temperature(*collect_logits(model, held_out))
    write_temperature(Path(output), temperature, len(validation_rows))
    return model


def lines_seen(view: View, structures: Path | str, folder: Path) -> LineCache:
    """The lines of a table as far as a view sees them, or a little further: see `build_line_cache`."""
    highest = _ROUND * math.ceil(ideal_grid(view).two_theta_range[1] / _ROUND) + _BEYOND
    return build_line_cache(structures, folder, highest=highest)


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

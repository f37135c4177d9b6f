"""The protocol of Oviedo et al. 2019 (npj Comput. Mater. 5, 60) on their thin films: space group and dimensionality.

    python benchmarks/oviedo.py ../shared/data/materials_project.parquet ../shared/data/thin_films/thin_films.parquet

Simulated patterns are of the metal halides of the structure table in the seven space groups. A network is trained on
them alone, or on them and four fifths of the films (five folds; every film is tested once a seed), each with
augmentation and without any: the same number of draws, untouched. An epoch is 2,000 draws of simulated
patterns and 5,000 of films, as in the authors' public code (github.com/PV-Lab/autoXRD), as are the loss, the sum of
binary cross entropies of the softmax, and what is left of a film: its peaks alone. Done runs are kept in OUTPUT. Prints
the tables and draws the average class activation map of each class.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import find_peaks_cwt, savgol_filter
from torch import nn

from syngony import networks
from syngony.evaluation import read_labelled_patterns
from syngony.learning.augmentation import Chain, PeakScaling, Shift, film_augmentation
from syngony.learning.line_cache import build_line_cache
from syngony.learning.patterns import Renderer
from syngony.metrics import wilson_interval
from syngony.structure_table import read_table
from syngony.symmetry import space_group_symbol
from syngony.views import ProfileView

GROUPS = (225, 140, 14, 164, 194, 7, 221)
DIMENSIONALITY = {225: "3-D", 140: "3-D", 221: "3-D", 14: "2-D", 164: "2-D", 7: "2-D", 194: "0-D"}
"""How the metal-halogen octahedra of these halides are joined: all corners, in layers, in pairs that stand alone."""

VIEW = ProfileView("two_theta", 1_200, (10.0, 58.0), "linear", background=True)
STEP = 0.04
BATCH, RATE = 128, 1e-3
_PEAK = 20  # points of a film about a peak
_LEAST = 1e-7  # probability
PUBLISHED = {"space group": 89, "dimensionality": 93}

_HALOGENS = {"Cl", "Br", "I"}
_OTHER_NONMETALS = {"H", "B", "C", "N", "O", "F", "Si", "P", "S", "Se", "Te"}


@dataclass(frozen=True)
class Setting:
    """What a row learns from, and how many networks, of other draws and first weights, are averaged."""

    simulated: bool
    films: bool
    augmented: bool
    members: int = 1

    @property
    def source(self) -> str:
        """In words."""
        films = "four fifths of the films"
        if not self.films:
            return "simulated alone"
        source = f"simulated and {films}" if self.simulated else f"{films} alone"
        return source if self.members == 1 else f"{source}, mean of {self.members}"


@dataclass(frozen=True)
class Recipe:
    """How films are prepared, and how a network learns from them and from simulated patterns.

    Attributes:
        name: in tables and file names.
        smoothed: films are left their smoothed peaks alone; else their background comes off.
        roots: the network is given square roots of heights.
        of_simulated, of_films: augmentation.
        epochs: of a stage.
        together: one stage, at a constant rate; else simulated patterns are learned from first and films after them, at
            a rate that rises to three times the constant one and falls to zero.
        settings: rows of the table.
    """

    name: str
    smoothed: bool
    roots: bool
    of_simulated: Chain
    of_films: Chain
    epochs: int
    together: bool
    settings: tuple[Setting, ...]

    def seen(self, heights: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network is given of a pattern's heights."""
        return np.sqrt(np.maximum(heights, 0.0)) if self.roots else heights


_WHOLE = Chain((PeakScaling(STEP, 3.0, 0.2), Shift(STEP, 0.12)))  # a stretch is wider than a peak

RECIPES = (
    Recipe(
        "published", True, False, film_augmentation(STEP), film_augmentation(STEP, measured=True), 100, True,
        tuple(Setting(True, films, augmented) for films in (True, False) for augmented in (True, False)),
    ),
    Recipe(
        "peaks kept whole", False, True, _WHOLE, _WHOLE, 40, False,
        (
            Setting(False, True, True), Setting(True, True, True), Setting(True, True, False),
            Setting(True, True, True, members=5),
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Patterns:
    """Network inputs (n, 1, 1200) and space groups (n,)."""

    inputs: NDArray[np.float32]
    groups: NDArray[np.int64]


def simulated(table: Path, cache: Path) -> Patterns:
    """Ideal patterns of the table's metal halides in the seven groups."""
    columns = read_table(table, ["space_group_number", "species"]).to_pydict()
    chosen = [
        row
        for row, (group, species) in enumerate(zip(columns["space_group_number"], columns["species"], strict=True))
        if group in GROUPS and set(species) & _HALOGENS and not set(species) & _OTHER_NONMETALS
    ]
    lines = build_line_cache(table, cache, rows=np.array(chosen), workers=1)
    renderer, rng = Renderer(lines, VIEW, "ideal"), np.random.default_rng(0)
    inputs = np.stack([renderer(i, rng) for i in range(len(lines))])
    seen = inputs.max(axis=(1, 2)) > 0
    return Patterns(inputs[seen], np.asarray(lines.space_group, np.int64)[seen])


def peaks_alone(profile: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1, n) a film's smoothed peaks, each above its own surroundings, and nothing between them; the highest is 1."""
    smooth = savgol_filter(profile[0], 31, 3)
    kept = np.zeros_like(smooth)
    for peak in find_peaks_cwt(smooth, np.arange(10, 15), noise_perc=0.01):
        window = slice(max(0, peak - _PEAK // 2), peak + _PEAK // 2)
        floor = np.sort(smooth[window])[: _PEAK // 5].max()
        kept[window] = np.maximum(smooth[window] - floor, 0.0)
    top = float(kept.max())
    return (kept / top if top > 0 else kept)[None].astype(np.float32)


def measured(table: Path) -> Patterns:
    """The films without their background."""
    films = read_labelled_patterns(table)
    return Patterns(np.stack([VIEW(f.pattern) for f in films]), np.array([f.space_groups[0] for f in films]))


def class_names(task: str) -> list[str]:
    """Names of a task's classes, in the order of the outputs."""
    return [str(g) for g in GROUPS] if task == "space group" else sorted(set(DIMENSIONALITY.values()))


def labels(task: str, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) classes."""
    names = class_names(task)
    return np.array([names.index(str(g) if task == "space group" else DIMENSIONALITY[g]) for g in groups.tolist()])


def drawn(
    patterns: Patterns, classes: NDArray[np.int64], number: int, augment: Callable | None, rng: np.random.Generator,
    balanced: bool,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:  # fmt: skip
    """So many patterns, drawn with replacement and augmented; each class equally often when `balanced`."""
    weights = 1.0 / np.bincount(classes)[classes] if balanced else np.ones(len(classes))
    rows = rng.choice(len(classes), number, p=weights / weights.sum())
    inputs = patterns.inputs[rows]
    if augment is not None:
        inputs = np.stack([augment(one, rng) for one in inputs])
    return inputs, classes[rows]


def fit(network: nn.Module, inputs: NDArray[np.float32], classes: NDArray[np.int64], recipe: Recipe) -> None:
    """One stage of a recipe."""
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    rates = None
    if not recipe.together:
        steps = recipe.epochs * -(-len(inputs) // BATCH)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3 * RATE, total_steps=steps, pct_start=0.1)
    outputs = network.head.out_features
    x, wanted = torch.from_numpy(inputs), nn.functional.one_hot(torch.from_numpy(classes), outputs).float()
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad(set_to_none=True)
            chances = network(x[rows]).softmax(1).clamp(_LEAST, 1.0 - _LEAST)
            nn.functional.binary_cross_entropy(chances, wanted[rows]).backward()
            optimiser.step()
            if rates is not None:
                rates.step()


Stage = tuple[NDArray[np.float32], NDArray[np.int64]]
"""What is learned from at once: inputs and classes."""


def stages(
    sim: Patterns | None, films: Patterns | None, task: str, augmented: bool, recipe: Recipe, budget: Any, seed: int
) -> list[Stage]:
    """Draws of simulated patterns and of films, where they are to be learned from, in the order of learning."""
    rng = np.random.default_rng(seed)
    parts = []
    for patterns, number, augment, balanced in (
        (sim, budget.simulated, recipe.of_simulated, True),
        (films, budget.films, recipe.of_films, False),
    ):
        if patterns is not None:
            classes = labels(task, patterns.groups)
            inputs, classes = drawn(patterns, classes, number, augment if augmented else None, rng, balanced)
            parts.append((recipe.seen(inputs), classes))
    if recipe.together:
        return [(np.concatenate([inputs for inputs, _ in parts]), np.concatenate([classes for _, classes in parts]))]
    return parts


def learned(learned_from: list[Stage], task: str, recipe: Recipe, seed: int) -> nn.Module:
    """A trained network."""
    torch.manual_seed(seed)
    network = networks.build("oviedo2019", VIEW.shape, len(class_names(task)))
    for inputs, classes in learned_from:
        fit(network, inputs, classes, recipe)
    return network.eval()


def run(
    sim: Patterns, films: Patterns, task: str, setting: Setting, recipe: Recipe, budget: Any, seed: int
) -> dict[str, Any]:
    """One seed of one setting: what is said of every film by a network that did not learn from it."""
    said = np.zeros(len(films.groups), np.int64)
    began = time.process_time()
    order = np.random.default_rng((seed, 17)).permutation(len(said))
    folds = np.array_split(order, budget.folds) if setting.films else [order]
    for number, fold in enumerate(folds):
        rest = np.setdiff1d(order, fold)
        own = Patterns(films.inputs[rest], films.groups[rest]) if setting.films else None
        chances = torch.zeros(len(fold), len(class_names(task)))
        for member in range(setting.members):
            one = 100_000 * member + 1000 * seed + number
            from_these = stages(sim if setting.simulated else None, own, task, setting.augmented, recipe, budget, one)
            network = learned(from_these, task, recipe, one)
            with torch.inference_mode():
                chances += network(torch.from_numpy(recipe.seen(films.inputs[fold]))).softmax(1)
        said[fold] = chances.argmax(1).numpy()
    return {"said": said.tolist(), "core_seconds": round(time.process_time() - began, 1)}


def neighbours(films: Patterns, recipe: Recipe, seed: int, folds: int) -> NDArray[np.int64]:
    """Place of the most similar film of the other folds (correlation of what the network sees): no learning at all."""
    profiles = recipe.seen(films.inputs)[:, 0].astype(float)
    profiles -= profiles.mean(1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    order = np.random.default_rng((seed, 17)).permutation(len(profiles))
    nearest = np.zeros(len(profiles), np.int64)
    for fold in np.array_split(order, folds):
        rest = np.setdiff1d(order, fold)
        nearest[fold] = rest[(profiles[fold] @ profiles[rest].T).argmax(1)]
    return nearest


def summary(true: NDArray[np.int64], runs: list[dict[str, Any]]) -> str:
    """Accuracy over seeds, each film once a seed; recall averaged over classes; the interval is of one seed."""
    right = np.array([np.array(r["said"]) == true for r in runs])
    by_seed = 100 * right.mean(1)
    recall = 100 * np.mean([right[:, true == c].mean() for c in np.unique(true)])
    low, high = wilson_interval(round(right.mean() * len(true)), len(true))
    spread = f" ± {by_seed.std(ddof=1):.1f}" if len(runs) > 1 else ""
    return f"**{by_seed.mean():.1f}**{spread} | {100 * low:.1f}-{100 * high:.1f} | {recall:.1f}"


def draw_maps(sim: Patterns, films: Patterns, recipe: Recipe, arguments: Any, path: Path) -> None:
    """For each space group, its films' mean pattern over the average class activation map of what was learned last."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    task = "space group"
    learned_from = stages(sim, films, task, True, recipe, arguments, 0)
    network = learned(learned_from, task, recipe, 0)
    inputs, classes = learned_from[-1]
    with torch.inference_mode():
        maps = network.class_activation(torch.from_numpy(inputs)).numpy()  # (n, classes, stretches)
    angles = np.linspace(*VIEW.two_theta_range, VIEW.points, endpoint=False) + STEP / 2
    figure, axes = plt.subplots(len(GROUPS), 1, figsize=(8, 11), sharex=True, layout="constrained")
    averages = [maps[classes == place, place].mean(0) for place in range(len(GROUPS))]
    reach = float(np.abs(averages).max())
    for place, (group, axis) in enumerate(zip(GROUPS, axes, strict=True)):
        of_group = recipe.seen(films.inputs[films.groups == group, 0])
        picture = axis.imshow(
            averages[place][None], extent=(*VIEW.two_theta_range, 0, 1), aspect="auto", cmap="RdBu_r",
            vmin=-reach, vmax=reach, alpha=0.8,
        )  # fmt: skip
        axis.plot(angles, of_group.mean(0) / of_group.mean(0).max(), color="black", linewidth=0.8)
        axis.set_yticks([])
        axis.set_ylabel(f"{space_group_symbol(group)}\n{len(of_group)} films", fontsize=8)
    axes[-1].set_xlabel("2θ / °")
    figure.colorbar(picture, ax=axes, label="speaks for the class (red) or against it (blue)", shrink=0.5)
    figure.suptitle(f"Average class activation maps ({recipe.name}), and the mean of the films", fontsize=10)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def kept_run(
    sim: Patterns, films: Patterns, task: str, setting: Setting, recipe: Recipe, budget: Any, seed: int
) -> dict[str, Any]:
    """One seed of one setting, from OUTPUT where it was done already."""
    numbers = recipe.epochs, budget.folds, budget.simulated, budget.films
    name = f"{task}-{recipe.name}-{setting.source}-{setting.augmented}-{seed}-{'-'.join(map(str, numbers))}.json"
    place = budget.output / name.replace(" ", "_")
    if not place.is_file():
        place.write_text(json.dumps(run(sim, films, task, setting, recipe, budget, seed)))
    return json.loads(place.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("thin_films", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/oviedo"))
    parser.add_argument("--tasks", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--recipes", nargs="+", default=[r.name for r in RECIPES], choices=[r.name for r in RECIPES])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100, help="of the published recipe")
    parser.add_argument("--simulated", type=int, default=2_000, help="draws of simulated patterns")
    parser.add_argument("--films", type=int, default=5_000, help="draws of films")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    sim = simulated(arguments.structures, arguments.output / "cache")
    measured_films = measured(arguments.thin_films)
    smoothed = replace(measured_films, inputs=np.stack([peaks_alone(profile) for profile in measured_films.inputs]))
    recipes = (replace(RECIPES[0], epochs=arguments.epochs), *RECIPES[1:])
    asked = [recipe for recipe in recipes if recipe.name in arguments.recipes]
    prepared = [(recipe, smoothed if recipe.smoothed else measured_films) for recipe in asked]
    count = {g: (int((sim.groups == g).sum()), int((measured_films.groups == g).sum())) for g in GROUPS}
    print("| space group | dimensionality | simulated | films |\n|---|---|---|---|")
    for group, (simulations, scans) in count.items():
        print(f"| {space_group_symbol(group)} | {DIMENSIONALITY[group]} | {simulations} | {scans} |")
    print("\n| task | recipe | learned from | augmentation | accuracy, % (seeds) | 95 % of 85 films | mean recall |")
    print("|---|---|---|---|---|---|---|")
    for task in arguments.tasks:
        true = labels(task, measured_films.groups)
        majority = 100 * np.bincount(true).max() / len(true)
        print(f"| {task} | | majority of the films | | {majority:.1f} | | {100 / len(np.unique(true)):.1f} |")
        for recipe, films in prepared:
            places = [neighbours(films, recipe, seed, arguments.folds) for seed in range(arguments.seeds)]
            figures = summary(true, [{"said": true[nearest]} for nearest in places])
            print(f"| {task} | {recipe.name} | nearest of four fifths of the films | | {figures} |")
            for setting in recipe.settings:
                runs = [kept_run(sim, films, task, setting, recipe, arguments, s) for s in range(arguments.seeds)]
                figures = summary(true, runs)
                augmented = "yes" if setting.augmented else "no"
                print(f"| {task} | {recipe.name} | {setting.source} | {augmented} | {figures} |", flush=True)
        print(f"| {task} | the publication's figure | | yes | {PUBLISHED[task]} | | |")
    for recipe, films in prepared:
        picture = arguments.output / f"maps-{recipe.name.replace(' ', '-')}.png"
        draw_maps(sim, films, recipe, arguments, picture)
        print(f"\n{picture}", end="")
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {arguments.epochs} epochs, {arguments.seeds} seeds, torch "
        f"{torch.__version__}, Python {platform.python_version()}, one thread of {platform.machine()}"
    )


if __name__ == "__main__":
    main()

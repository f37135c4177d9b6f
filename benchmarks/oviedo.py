"""The protocol of Oviedo et al. 2019 (npj Comput. Mater. 5, 60) on their thin films: space group and dimensionality.

    python benchmarks/oviedo.py ../shared/data/materials_project.parquet ../shared/data/thin_films/thin_films.parquet

Simulated patterns are of the metal halides of the structure table in the seven space groups. A network is trained on
them alone, or on them and four fifths of the films (five folds; every film is tested once a seed), each with the
publication's augmentation and without any: the same number of draws, untouched. An epoch is 2,000 draws of simulated
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import find_peaks_cwt, savgol_filter
from torch import nn

from syngony import networks
from syngony.evaluation import read_labelled_patterns
from syngony.learning.augmentation import film_augmentation
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


def measured(table: Path) -> tuple[Patterns, list[str]]:
    """The films as the network sees them, and their names."""
    films = read_labelled_patterns(table)
    inputs = np.stack([peaks_alone(VIEW(film.pattern)) for film in films])
    return Patterns(inputs, np.array([film.space_groups[0] for film in films])), [f.pattern.name for f in films]


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


def fit(inputs: NDArray[np.float32], classes: NDArray[np.int64], outputs: int, epochs: int, seed: int) -> nn.Module:
    """The trained network."""
    torch.manual_seed(seed)
    network = networks.build("oviedo2019", VIEW.shape, outputs)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    x, wanted = torch.from_numpy(inputs), nn.functional.one_hot(torch.from_numpy(classes), outputs).float()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad(set_to_none=True)
            chances = network(x[rows]).softmax(1).clamp(_LEAST, 1.0 - _LEAST)
            nn.functional.binary_cross_entropy(chances, wanted[rows]).backward()
            optimiser.step()
    return network.eval()


def training_set(
    sim: Patterns, films: Patterns | None, task: str, augmented: bool, numbers: tuple[int, int], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Simulated patterns, and films where some are to be learned from."""
    rng = np.random.default_rng(seed)
    parts = [
        drawn(sim, labels(task, sim.groups), numbers[0], film_augmentation(STEP) if augmented else None, rng, True)
    ]
    if films is not None:
        augment = film_augmentation(STEP, measured=True) if augmented else None
        parts.append(drawn(films, labels(task, films.groups), numbers[1], augment, rng, False))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def run(
    sim: Patterns, films: Patterns, task: str, learn_films: bool, augmented: bool, seed: int, arguments: Any
) -> dict[str, Any]:
    """One seed of one setting: what is said of every film by a network that did not learn from it."""
    numbers, outputs = (arguments.simulated, arguments.films), len(class_names(task))
    said = np.zeros(len(films.groups), np.int64)
    began = time.process_time()
    order = np.random.default_rng((seed, 17)).permutation(len(said))
    folds = np.array_split(order, arguments.folds) if learn_films else [order]
    for number, fold in enumerate(folds):
        rest = np.setdiff1d(order, fold)
        learned = Patterns(films.inputs[rest], films.groups[rest]) if learn_films else None
        inputs, classes = training_set(sim, learned, task, augmented, numbers, 1000 * seed + number)
        network = fit(inputs, classes, outputs, arguments.epochs, 1000 * seed + number)
        with torch.inference_mode():
            said[fold] = network(torch.from_numpy(films.inputs[fold])).argmax(1).numpy()
    return {"said": said.tolist(), "core_seconds": round(time.process_time() - began, 1)}


def neighbours(films: Patterns, seed: int, folds: int) -> NDArray[np.int64]:
    """Place of the most similar film of the other folds (correlation of what the network sees): no learning at all."""
    profiles = films.inputs[:, 0] - films.inputs[:, 0].mean(1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    order = np.random.default_rng((seed, 17)).permutation(len(profiles))
    nearest = np.zeros(len(profiles), np.int64)
    for fold in np.array_split(order, folds):
        rest = np.setdiff1d(order, fold)
        nearest[fold] = rest[(profiles[fold] @ profiles[rest].T).argmax(1)]
    return nearest


def summary(task: str, films: Patterns, runs: list[dict[str, Any]]) -> str:
    """Accuracy over seeds, each film once a seed; recall averaged over classes; the interval is of one seed."""
    true = labels(task, films.groups)
    right = np.array([np.array(r["said"]) == true for r in runs])
    by_seed = 100 * right.mean(1)
    recall = 100 * np.mean([right[:, true == c].mean() for c in np.unique(true)])
    low, high = wilson_interval(round(right.mean() * len(true)), len(true))
    spread = f" ± {by_seed.std(ddof=1):.1f}" if len(runs) > 1 else ""
    return f"**{by_seed.mean():.1f}**{spread} | {100 * low:.1f}-{100 * high:.1f} | {recall:.1f}"


def draw_maps(sim: Patterns, films: Patterns, arguments: Any, path: Path) -> None:
    """For each space group, its films' mean pattern over the average class activation map of what was learned."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    task = "space group"
    inputs, classes = training_set(sim, films, task, True, (arguments.simulated, arguments.films), 0)
    network = fit(inputs, classes, len(GROUPS), arguments.epochs, 0)
    with torch.inference_mode():
        maps = network.class_activation(torch.from_numpy(inputs)).numpy()  # (n, classes, stretches)
    angles = np.linspace(*VIEW.two_theta_range, VIEW.points, endpoint=False) + STEP / 2
    figure, axes = plt.subplots(len(GROUPS), 1, figsize=(8, 11), sharex=True, layout="constrained")
    averages = [maps[classes == place, place].mean(0) for place in range(len(GROUPS))]
    reach = float(np.abs(averages).max())
    for place, (group, axis) in enumerate(zip(GROUPS, axes, strict=True)):
        of_group = films.inputs[films.groups == group, 0]
        picture = axis.imshow(
            averages[place][None], extent=(*VIEW.two_theta_range, 0, 1), aspect="auto", cmap="RdBu_r",
            vmin=-reach, vmax=reach, alpha=0.8,
        )  # fmt: skip
        axis.plot(angles, of_group.mean(0) / of_group.mean(0).max(), color="black", linewidth=0.8)
        axis.set_yticks([])
        axis.set_ylabel(f"{space_group_symbol(group)}\n{len(of_group)} films", fontsize=8)
    axes[-1].set_xlabel("2θ / °")
    figure.colorbar(picture, ax=axes, label="speaks for the class (red) or against it (blue)", shrink=0.5)
    figure.suptitle("Average class activation maps, and the mean of the films", fontsize=10)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("thin_films", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/oviedo"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--simulated", type=int, default=2_000, help="draws of simulated patterns")
    parser.add_argument("--films", type=int, default=5_000, help="draws of films")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    sim = simulated(arguments.structures, arguments.output / "cache")
    films, _ = measured(arguments.thin_films)
    count = {g: (int((sim.groups == g).sum()), int((films.groups == g).sum())) for g in GROUPS}
    print("| space group | dimensionality | simulated | films |\n|---|---|---|---|")
    for group, (simulations, scans) in count.items():
        print(f"| {space_group_symbol(group)} | {DIMENSIONALITY[group]} | {simulations} | {scans} |")
    print("\n| task | learned from | augmentation | accuracy, % (seeds) | 95 % of 85 films | mean recall | published |")
    print("|---|---|---|---|---|---|---|")
    budget = (arguments.epochs, arguments.folds, arguments.simulated, arguments.films)
    for task in PUBLISHED:
        true = labels(task, films.groups)
        majority = 100 * np.bincount(true).max() / len(true)
        print(f"| {task} | majority of the films | | {majority:.1f} | | {100 / len(np.unique(true)):.1f} | |")
        looked_up = [neighbours(films, seed, arguments.folds) for seed in range(arguments.seeds)]
        figures = summary(task, films, [{"said": true[nearest]} for nearest in looked_up])
        print(f"| {task} | nearest neighbour among four fifths of the films | | {figures} | |")
        for learn_films in (True, False):
            for augmented in (True, False):
                runs = []
                for seed in range(arguments.seeds):
                    name = f"{task}-{learn_films}-{augmented}-{seed}-{'-'.join(map(str, budget))}.json"
                    place = arguments.output / name.replace(" ", "_")
                    if not place.is_file():
                        result = run(sim, films, task, learn_films, augmented, seed, arguments)
                        place.write_text(json.dumps(result))
                    runs.append(json.loads(place.read_text()))
                source = "simulated and four fifths of the films" if learn_films else "simulated alone"
                figures = summary(task, films, runs)
                published = PUBLISHED[task] if learn_films and augmented else ""
                print(f"| {task} | {source} | {'yes' if augmented else 'no'} | {figures} | {published} |", flush=True)
    picture = arguments.output / "maps.png"
    draw_maps(sim, films, arguments, picture)
    print(
        f"\n{picture}\n{time.strftime('%Y-%m-%d')}, {arguments.epochs} epochs, {arguments.seeds} seeds, torch "
        f"{torch.__version__}, Python {platform.python_version()}, one thread of {platform.machine()}"
    )


if __name__ == "__main__":
    main()

"""Figures of training and evaluation, as PNG."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.report.structures import new_figure, save_figure
from syngony.symmetry import CRYSTAL_SYSTEMS


def draw_confusion_matrix(matrix: Any, path: Path | str, title: str = "") -> None:
    """Confusion matrix (the paper's Figure 5): shares of each true system, counts below.

    Args:
        matrix: (7, 7) counts, rows true.
        path: the file.
        title: replaces the default one.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure((7.2, 6.2))
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(counts)):
        for column in range(len(counts)):
            axes.text(
                column,
                row,
                f"{shares[row, column]:.0%}\n{counts[row, column]:,}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if shares[row, column] > 0.55 else "#222222",
            )
    axes.set_xticks(range(len(CRYSTAL_SYSTEMS)), CRYSTAL_SYSTEMS, rotation=35, ha="right")
    axes.set_yticks(range(len(CRYSTAL_SYSTEMS)), CRYSTAL_SYSTEMS)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title or f"Confusion matrix (n = {counts.sum():,})", fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true system")
    save_figure(figure, path)


def draw_curves(curves_csv: Path | str, path: Path | str, transfer_epochs: int = 0) -> None:
    """Loss and accuracy on training and validation patterns, epoch by epoch.

    Args:
        curves_csv: ``curves.csv`` of a run.
        path: the file.
        transfer_epochs: epochs of the first stage, marked when there are any.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    with Path(curves_csv).open(newline="") as stream:
        for row in csv.DictReader(stream):
            for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy"):
                if row.get(name):
                    curves.setdefault(name, []).append((int(row["epoch"]), float(row[name])))
    figure = new_figure((9.0, 3.8))
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for side, colour in (("train", "#0072B2"), ("val", "#D55E00")):
            points = curves.get(f"{side}_{quantity}", [])
            label = "training" if side == "train" else "validation"
            axes.plot([x for x, _ in points], [y for _, y in points], "o-", ms=3.5, color=colour, label=label)
        if transfer_epochs:
            axes.axvline(transfer_epochs + 0.5, color="#999999", ls="--", lw=1, label="fine-tuning begins")
        axes.set_xlabel("epoch")
        axes.set_ylabel(quantity)
        axes.grid(color="#dddddd", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, fontsize=9)
    save_figure(figure, path)


def draw_pattern_and_image(
    two_theta: NDArray[np.floating],
    intensity: NDArray[np.floating],
    image: NDArray[np.float32],
    title: str,
    path: Path | str,
) -> None:
    """A pattern (the paper's Figure 4) and the image that the network sees.

    Args:
        two_theta, intensity: (n,) the pattern.
        image: (3, size, size) in [0, 1].
        title: of the pattern.
        path: the file.
    """
    figure = new_figure((10.0, 3.6))
    left, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
    left.plot(two_theta, intensity, lw=0.8, color="#0072B2")
    left.set_xlabel("2θ (degrees)")
    left.set_ylabel("intensity")
    left.set_title(title, fontsize=11)
    left.spines[["top", "right"]].set_visible(False)
    right.imshow(np.moveaxis(image, 0, -1), interpolation="nearest")
    right.set_title(f"its image, {image.shape[1]} x {image.shape[2]}", fontsize=11)
    right.set_axis_off()
    save_figure(figure, path)

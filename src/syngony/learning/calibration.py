"""What is done to trained weights before they are shipped; all of it on simulated patterns only.

Batch normalisation is settled: statistics over many batches of the final weights in place of a running
average over the last few (Wu & Johnson 2021, arXiv 2105.07576, "precise BatchNorm"). Then probabilities
are calibrated by a temperature (Guo et al. 2017, arXiv 1706.04599).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from syngony.inference import scores_from_logits
from syngony.learning.classifier import Classifier
from syngony.whole_files import write_text

FILE = "calibration.json"


def settle_batch_norm(model: Classifier, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Replace the running statistics of batch normalisation by the mean over all batches given."""
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's sign for a plain mean
        layer.train()
    with torch.no_grad():
        for inputs, _, _ in batches:
            model(inputs)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.eval()


def collect_logits(
    model: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits (n, outputs of the head) and true system indices (n,) over batches."""
    logits, systems = [], []
    with torch.inference_mode():
        for inputs, system, _ in batches:
            logits.append(model(inputs).numpy().astype(float))
            systems.append(system.numpy())
    return np.concatenate(logits), np.concatenate(systems)


def fit_temperature(logits: NDArray[np.float64], systems: NDArray[np.int64]) -> float:
    """The temperature at which the true systems are likeliest.

    Args:
        logits: (n, outputs of the head).
        systems: (n,) true indices.
    """
    rows = np.arange(len(systems))

    def loss(log_temperature: float) -> float:
        likelihood = scores_from_logits(logits, float(np.exp(log_temperature))).systems[rows, systems]
        return float(-np.log(np.maximum(likelihood, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def write_temperature(folder: Path, temperature: float, patterns: int) -> None:
    """Keep a run's temperature for its export."""
    write_text(folder / FILE, json.dumps({"temperature": temperature, "patterns": patterns}) + "\n")


def read_temperature(folder: Path) -> float:
    """A run's temperature, 1 where none was fitted."""
    place = folder / FILE
    return float(json.loads(place.read_text())["temperature"]) if place.is_file() else 1.0

"""A trained run as a shippable network: ONNX and a JSON card."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import syngony
from syngony.errors import ModelError
from syngony.inference import CARD_FORMAT, Network
from syngony.learning.calibration import read_temperature
from syngony.learning.classifier import Classifier
from syngony.learning.curves import read_curves
from syngony.learning.planes import as_planes
from syngony.learning.settings import TrainingSettings
from syngony.learning.training import load_run
from syngony.views import view_from_dict
from syngony.whole_files import whole_file, write_text

OPSET = 17
AGREEMENT = 1e-3
"""Largest difference of a logit between torch and ONNX Runtime that is passed; less where all logits lie close
together, as those of a network that has hardly learned do."""


def export_run(
    run: Path | str, output: Path | str, *, card: dict[str, Any] | None = None, which: str | None = None
) -> Network:
    """Write ``output`` (.onnx) and its card, checked against torch.

    Args:
        run: folder of `train`.
        output: ends in ``.onnx``; the card is written beside it.
        card: further entries: data, licence, attribution, figures, temperature.
        which: checkpoint, ``settled``, ``best`` or ``last``; the first of them that is there when omitted.

    Raises:
        ModelError: no run there, a wrong file name, or the exported network disagrees with torch.
    """
    output = Path(output)
    if output.suffix != ".onnx":
        raise ModelError(f"{output}: name the file NAME.onnx")
    if which is None:
        which = "settled" if (Path(run) / "checkpoints" / "settled.ckpt").is_file() else "best"
    model = load_run(run, which)
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as partial:
        _write_onnx(model, partial)
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    entries = {**_card(model, output, Path(run), digest), **(card or {})}
    write_text(output.with_suffix(".json"), json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    network = Network.load(output)
    _check_agreement(model, network, _example(model).numpy())
    return network


def _example(model: Classifier) -> torch.Tensor:
    """Two inputs of the network, the same ones each time."""
    shape = 2, *view_from_dict(model.settings.view).shape
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _write_onnx(model: Classifier, path: Path) -> None:
    import onnx

    torch.onnx.export(
        model,
        (_example(model),),
        str(path),
        input_names=["pattern"],
        output_names=["logits"],
        dynamic_axes={"pattern": {0: "n"}, "logits": {0: "n"}},
        opset_version=OPSET,
        dynamo=False,
    )
    written = onnx.load(str(path))
    as_planes(written)
    onnx.save(written, str(path))


def _card(model: Classifier, output: Path, run: Path, digest: str) -> dict[str, Any]:
    """What the network says of itself."""
    settings = TrainingSettings.read(run)
    return {
        "format": CARD_FORMAT,
        "name": output.stem,
        "network": settings.network,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "view": settings.view,
        "head": settings.head,
        "training": asdict(settings),
        "sha256": digest,
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {
            "syngony": syngony.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "temperature": read_temperature(run),
        "core_seconds": round(sum(float(epoch["core_seconds"] or 0) for epoch in read_curves(run / "curves.csv")), 2),
    }


def _check_agreement(model: Classifier, network: Network, inputs: NDArray[np.float32]) -> None:
    with torch.inference_mode():
        expected = model(torch.from_numpy(inputs)).numpy()
    session = network._session
    actual = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    worst = float(np.abs(expected - actual).max())
    if worst > AGREEMENT * min(1.0, float(np.ptp(expected))):
        raise ModelError(f"the exported network differs from torch by {worst:.2g} in a logit: do not ship it")

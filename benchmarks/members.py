"""What each member of a joined network is worth, and the mean of some and of all, on the validation side.

    python benchmarks/members.py ../shared/data/materials_project.parquet --cache runs/syngony/cache

Crystal system / space group, %, and mean surprise: the negative logarithm of the probability of the truth.
"""

from __future__ import annotations

import argparse
import platform
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from syngony.inference import Network, Scores, scores_from_logits
from syngony.learning.patterns import RenderedPatterns, Renderer
from syngony.learning.recipes import lines_seen
from syngony.learning.split import sides_of
from syngony.learning.warm_start import member_prefix

_SEED = 5


def session_of_all(network: Network) -> onnxruntime.InferenceSession:
    """The network with the logits of its members beside its own."""
    model = onnx.load(str(network.path))
    mean = next(node for node in model.graph.node if "logits" in node.output)
    for number, name in enumerate(mean.input):
        assert name.startswith(member_prefix(number))
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 230]))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def told(scores: Scores, system: np.ndarray, group: np.ndarray) -> str:
    """Two cells of the table."""
    assert scores.space_groups is not None
    place = np.arange(len(system))
    right = [np.mean(s.argmax(1) == t) for s, t in ((scores.systems, system), (scores.space_groups, group))]
    surprise = [
        -np.log(np.maximum(s[place, t], 1e-12)).mean()
        for s, t in ((scores.systems, system), (scores.space_groups, group))
    ]
    return f"{100 * right[0]:.1f} / {100 * right[1]:.1f} | {surprise[0]:.3f} / {surprise[1]:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--model", default="syngony")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    network = Network.load(arguments.model)
    table = lines_seen(network.view, arguments.structures, arguments.cache)
    rows = np.flatnonzero(sides_of(table.formula) == "validation")[: arguments.limit]
    session = session_of_all(network)
    cells: dict[str, list[str]] = {}
    for conditions in ("ideal", "lab"):
        patterns = RenderedPatterns(
            Renderer(table, network.view, conditions), rows, batch_size=128, seed=_SEED, shuffle=False
        )
        parts, systems, groups = [], [], []
        for inputs, system, group in patterns:
            parts.append(session.run(None, {"pattern": inputs.numpy()}))
            systems.append(system.numpy())
            groups.append(group.numpy())
        members = [np.concatenate(logits) for logits in zip(*parts, strict=True)][1:]  # the first is their mean
        truth = np.concatenate(systems), np.concatenate(groups)
        for size in range(1, len(members) + 1):
            for some in combinations(range(len(members)), size):
                name = f"{'member' if size == 1 else 'mean of'} {', '.join(map(str, some))}"
                scores = scores_from_logits(np.mean([members[i] for i in some], axis=0))
                cells.setdefault(name, []).append(told(scores, *truth))
    print(f"{len(rows):,} structures\n\n| | ideal | surprise | lab | surprise |\n|---|---|---|---|---|")
    for name, both in cells.items():
        print(f"| {name} | {' | '.join(both)} |")
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}, "
        f"numpy {np.__version__}"
    )


if __name__ == "__main__":
    main()

"""Does rendering keep up with training? A small network on fresh laboratory patterns and on ready arrays.

    python benchmarks/feeding.py ../shared/data/materials_project.parquet -o runs/feeding

The same network (residual_1d of about 0.4 M parameters), batches of 64, rounds of each kind in turn so that
a busy machine weighs on all alike. ``fresh, n`` renders in n loading processes (0: in the training
process itself). Prints patterns a second, the share of the speed on arrays, and what a pattern costs in
processor time, loading processes counted: the figure that other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from syngony import networks
from syngony.learning.line_cache import LineCache, build_line_cache
from syngony.learning.patterns import RenderedPatterns, Renderer
from syngony.structure_table import read_table
from syngony.views import ProfileView

BATCH = 64
WIDTHS = (24, 32, 48, 64, 96, 112)
KINDS: tuple[int | None, ...] = (None, 0, 1, 2)  # None: arrays; else the number of loading processes


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def ready_batches(batches: list[tuple[Tensor, Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The same few batches again and again."""
    while True:
        yield from batches


class Bench:
    """One network, and rounds of training on any source of batches."""

    def __init__(self, view: ProfileView) -> None:
        torch.manual_seed(0)
        self.network = networks.build("residual_1d", view.shape, 230, widths=WIDTHS)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), 1e-3, fused=True)
        self.parameters = sum(p.numel() for p in self.network.parameters())

    def train(self, batches: Iterator[tuple[Tensor, Tensor, Tensor]], steps: int) -> None:
        """So many steps."""
        self.network.train()
        for _, (inputs, _, group) in zip(range(steps), batches, strict=False):
            loss = nn.functional.cross_entropy(self.network(inputs), group)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()


def fresh(cache: LineCache, view: ProfileView, workers: int, steps: int, epoch: int) -> DataLoader:
    """An epoch of patterns that nobody has seen."""
    patterns = RenderedPatterns(
        Renderer(cache, view, "lab"), np.arange(len(cache)), BATCH * steps, batch_size=BATCH, epoch=epoch
    )
    return DataLoader(patterns, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)


def rendering_milliseconds(cache: LineCache, view: ProfileView, number: int = 500) -> float:
    """Processor time of one laboratory pattern, lines to network input."""
    renderer = Renderer(cache, view, "lab")
    for index in range(30):
        renderer(index, np.random.default_rng(index))
    began = time.process_time()
    for index in range(number):
        renderer(index % len(cache), np.random.default_rng((1, index)))
    return 1e3 * (time.process_time() - began) / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/feeding"))
    parser.add_argument("--limit", type=int, default=2_000, help="structures in the cache")
    parser.add_argument("--steps", type=int, default=30, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    total = read_table(arguments.structures, ["material_id"]).num_rows
    rows = np.sort(np.random.default_rng(0).choice(total, min(arguments.limit, total), replace=False))
    cache = build_line_cache(arguments.structures, arguments.output / "cache", rows=rows)
    view = ProfileView()
    bench = Bench(view)
    milliseconds = rendering_milliseconds(cache, view)
    print(f"{bench.parameters:,} parameters, {arguments.threads} threads, load {os.getloadavg()[0]:.1f} on "
          f"{os.cpu_count()} cores; one laboratory pattern {milliseconds:.2f} ms")  # fmt: skip
    arrays = ready_batches(list(fresh(cache, view, 0, 8, 0)))
    bench.train(arrays, 3)
    wall: dict[int | None, float] = dict.fromkeys(KINDS, 0.0)
    spent: dict[int | None, float] = dict.fromkeys(KINDS, 0.0)
    for number in range(arguments.rounds):
        for kind in KINDS:
            source = arrays if kind is None else iter(fresh(cache, view, kind, arguments.steps + 1, number + 1))
            if kind is not None:
                next(source)  # loading processes are up
            began, used = time.perf_counter(), processor_seconds()
            bench.train(source, arguments.steps)
            wall[kind] += time.perf_counter() - began
            del source  # loading processes end, and their time is counted
            spent[kind] += processor_seconds() - used
    report(wall, spent, arguments.rounds * arguments.steps * BATCH, arguments.output, milliseconds)


def report(
    wall: dict[int | None, float], spent: dict[int | None, float], patterns: int, folder: Path, milliseconds: float
) -> None:
    """Print the table, and keep it as JSON."""
    print("| batches | patterns a second | of arrays | processor ms a pattern | of arrays |\n|---|---|---|---|---|")
    rows = {}
    for kind in KINDS:
        name = "ready arrays" if kind is None else f"fresh, {kind}"
        rows[name] = [patterns / wall[kind], wall[None] / wall[kind], 1e3 * spent[kind] / patterns,
                      spent[None] / spent[kind]]  # fmt: skip
        rate, share, cost, ratio = rows[name]
        print(f"| {name} | {rate:.0f} | {share:.0%} | {cost:.2f} | {ratio:.0%} |")
    (folder / "feeding.json").write_text(json.dumps({"milliseconds": milliseconds, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

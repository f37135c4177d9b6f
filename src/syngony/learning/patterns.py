"""Patterns for training: rendered fresh for every epoch from cached lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from syngony.diffraction.laboratory import Laboratory, measure
from syngony.diffraction.profile import PaperGrid, stick_pattern
from syngony.diffraction.varied_profiles import VariedProfiles
from syngony.learning.line_cache import Lines
from syngony.pattern import two_theta_from_q
from syngony.symmetry import crystal_system_index
from syngony.views import View, ideal_grid
from syngony.views.profile import REFERENCE_WAVELENGTH

PatternKind = Literal["ideal", "lab", "mixed", "calculated", "profiles"]


class Renderer:
    """Network inputs of cached structures.

    Args:
        cache: lines.
        view: what the network sees.
        conditions: ``ideal`` (the paper's pattern), ``lab`` (a drawn instrument and sample), ``mixed`` (each drawn,
            `ideal_share` of them ideal), ``calculated`` (the same, of scans without noise: see
            `Laboratory.draw_calculated`) or ``profiles`` (no noise, widths and shapes drawn: `VariedProfiles`).
        grid: step, filter and range of the ideal pattern.
        laboratory: ranges of the lab patterns.
        ideal_share: of ``mixed`` and ``calculated``.
        keep: remember inputs of ideal patterns (float32, the view's size each), for small tables.
    """

    def __init__(
        self,
        cache: Lines,
        view: View,
        conditions: PatternKind = "ideal",
        grid: PaperGrid | None = None,
        laboratory: Laboratory | None = None,
        ideal_share: float = 0.5,
        keep: bool = False,
    ) -> None:
        self.cache = cache
        self.view = view
        self.conditions = conditions
        self.grid = grid or ideal_grid(view)
        self.profiles = VariedProfiles()
        self.laboratory = laboratory or Laboratory()
        self.ideal_share = ideal_share
        self._kept: dict[int, NDArray[np.float32]] | None = {} if keep else None

    def __call__(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """One network input of structure `index`; the generator decides everything random."""
        partly = self.conditions in ("mixed", "calculated")
        ideal = self.conditions == "ideal" or (partly and rng.random() < self.ideal_share)
        if ideal:
            return self._ideal(index)
        if self.conditions == "profiles":
            q, intensity = self.cache.lines(index)
            lines = two_theta_from_q(q, REFERENCE_WAVELENGTH), intensity
            scan = self.profiles.pattern(*lines, self.view.two_theta_range, rng)
            return self.view.from_scan(*scan, REFERENCE_WAVELENGTH)
        if self.conditions == "calculated":
            return self.view.from_scan(*measure(self.cache.phase(index), self.laboratory.draw_calculated(rng), rng))
        conditions = self.laboratory.draw(rng)
        other = self.cache.phase(int(rng.integers(len(self.cache)))) if conditions.impurity > 0 else None
        return self.view.from_scan(*measure(self.cache.phase(index), conditions, rng, impurity=other))

    def _ideal(self, index: int) -> NDArray[np.float32]:
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        q, intensity = self.cache.lines(index)
        pattern = stick_pattern(two_theta_from_q(q, REFERENCE_WAVELENGTH), intensity, self.grid)
        image = self.view.from_scan(self.grid.two_theta, pattern, REFERENCE_WAVELENGTH)
        if self._kept is not None:
            self._kept[index] = image
        return image


class RenderedPatterns(IterableDataset):
    """Batches of (input, crystal system index, space group index) for one epoch.

    A pattern depends on the seed, the epoch and its position only: neither the number of loading processes nor that
    of training processes changes anything. Of those each takes its share of every batch.

    Args:
        renderer: makes the inputs.
        indices: structures to draw from.
        patterns: how many patterns an epoch has.
        batch_size: patterns in a batch; the last, smaller one is left out when `shuffle`.
        seed, epoch: of the random generators.
        shuffle: draw without replacement, beginning again when all are used; else in order.
        balance: draw each crystal system equally often.
        labels: (n,) space group numbers in place of the cache's own.
        also: further structures of the cache (synthetic crystals), and
        also_share: of an epoch that is drawn from them.
        share: (which, of how many) training processes.
    """

    def __init__(
        self,
        renderer: Renderer,
        indices: Sequence[int] | NDArray[np.int64],
        patterns: int | None = None,
        *,
        batch_size: int = 64,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
        balance: bool = False,
        labels: NDArray[np.integer] | None = None,
        also: Sequence[int] | NDArray[np.int64] = (),
        also_share: float = 0.0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        self.share = share
        self.also, self.also_share = np.asarray(also, dtype=np.int64), also_share if len(also) else 0.0
        self.renderer = renderer
        self.indices = np.asarray(indices, dtype=np.int64)
        self.patterns = patterns or len(self.indices)
        self.batch_size = batch_size
        self.seed, self.epoch = seed, epoch
        self.shuffle, self.balance = shuffle, balance
        self.space_group = np.asarray(renderer.cache.space_group if labels is None else labels)
        self.system = np.array([crystal_system_index(int(g)) for g in self.space_group])

    def __len__(self) -> int:
        full, rest = divmod(self.patterns, self.batch_size)
        return full if self.shuffle else full + (rest > 0)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        drawn = self._draw()
        for batch in range(first, len(self), stride):
            positions = self._positions(batch, len(drawn))
            chosen = drawn[positions]
            inputs = np.empty((len(chosen), *self.renderer.view.shape), np.float32)
            for row, (index, position) in enumerate(zip(chosen, positions, strict=True)):
                rng = np.random.default_rng((self.seed, self.epoch, int(position)))
                inputs[row] = self.renderer(int(index), rng)
            yield (
                torch.from_numpy(inputs),
                torch.from_numpy(self.system[chosen]),
                torch.from_numpy(self.space_group[chosen].astype(np.int64) - 1),
            )

    def _positions(self, batch: int, patterns: int) -> NDArray[np.int64]:
        """Of a batch in the epoch: this process's share."""
        which, processes = self.share
        positions = np.arange(batch * self.batch_size, min((batch + 1) * self.batch_size, patterns))
        if len(positions) < processes:  # the rest of a held-out set: each sees all of it, for none may go without
            return positions
        return positions[which::processes]

    def _draw(self) -> NDArray[np.int64]:
        """(patterns,) structure indices of this epoch."""
        if not self.shuffle:
            return self.indices[: self.patterns]
        if self.balance:
            rng = np.random.default_rng((self.seed, 1, self.epoch))
            systems = self.system[self.indices]
            present = np.unique(systems)
            members = [self.indices[systems == s] for s in present]
            return np.array([rng.choice(members[s]) for s in rng.integers(len(present), size=self.patterns)])
        drawn = self._stretch(self.indices, 2)
        if self.also_share > 0:
            rng = np.random.default_rng((self.seed, 3, self.epoch))
            other = rng.random(self.patterns) < self.also_share
            drawn[other] = self._stretch(self.also, 4)[other]
        return drawn

    def _stretch(self, indices: NDArray[np.int64], stream: int) -> NDArray[np.int64]:
        """This epoch's part of a stream of permutations, of which each epoch takes the next stretch."""
        start, n = self.epoch * self.patterns, len(indices)
        rounds = range(start // n, (start + self.patterns - 1) // n + 1)
        order = np.concatenate([np.random.default_rng((self.seed, stream, r)).permutation(indices) for r in rounds])
        begin = start - rounds[0] * n
        return order[begin : begin + self.patterns]

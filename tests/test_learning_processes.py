"""Training by several processes: shares of one epoch, the curves of one process, SIGKILL and --resume."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the 'train' extra")

from test_learning import cache, table  # noqa: E402, F401  fixtures

from syngony.errors import InputError, OutputError  # noqa: E402
from syngony.learning.curves import read_curves  # noqa: E402
from syngony.learning.distributed import require_shares  # noqa: E402
from syngony.learning.patterns import RenderedPatterns, Renderer  # noqa: E402
from syngony.learning.recipes import recipe_settings, train_recipe  # noqa: E402
from syngony.learning.training import train  # noqa: E402
from syngony.views import ProfileView  # noqa: E402

BUDGET = {"patterns": 320, "epoch_patterns": 64, "batch_size": 16, "threads": 1}


@pytest.mark.parametrize(("patterns", "shuffle"), [(80, True), (37, False)])
def test_processes_take_disjoint_shares_of_the_same_epoch(cache, patterns, shuffle):  # noqa: F811
    view = ProfileView(points=64)

    def epoch(which: int, processes: int) -> list[list[np.ndarray]]:
        rendered = RenderedPatterns(
            Renderer(cache, view, "lab"), np.arange(40), patterns, batch_size=16, epoch=2, shuffle=shuffle,
            share=(which, processes),
        )  # fmt: skip
        return [list(inputs.numpy()) for inputs, _, _ in rendered]

    whole, first, second = epoch(0, 1), epoch(0, 2), epoch(1, 2)
    assert len(whole) == len(first) == len(second)
    for batch, one, other in zip(whole, first, second, strict=True):
        assert len(one) + len(other) == len(batch)
        assert np.array_equal(batch[0::2], one) and np.array_equal(batch[1::2], other)


def test_a_rest_too_small_to_share_is_seen_by_all(cache):  # noqa: F811
    for which in range(3):
        held_out = RenderedPatterns(
            Renderer(cache, ProfileView(points=64)), np.arange(18), batch_size=16, shuffle=False, share=(which, 3)
        )
        assert [len(inputs) for inputs, _, _ in held_out][-1] == 2


def test_a_batch_must_be_shared_out_evenly():
    require_shares(64, 4)
    with pytest.raises(InputError, match="a batch of 64 patterns for 3 processes: choose a --batch-size"):
        require_shares(64, 3)


def test_a_full_disk_leaves_the_last_checkpoint(cache, tmp_path, monkeypatch):  # noqa: F811
    settings = recipe_settings("oviedo2019", "robust", 96, epoch_patterns=32, batch_size=16, threads=1)
    rows = np.arange(100), np.arange(100, 120)
    train(settings, cache, tmp_path / "undisturbed", *rows, progress=False)
    original, count = Path.write_bytes, 0

    def full(path: Path, data: memoryview) -> int:
        nonlocal count
        count += 1
        if count > 3:
            original(path, data[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(path, data)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match=r"\.ckpt: cannot be written \(No space left on device\)"):
            train(settings, cache, run, *rows, progress=False)
    assert not list(run.glob("**/.*"))
    train(settings, cache, run, *rows, progress=False, resume=True)
    curves = [read_curves(folder / "curves.csv") for folder in (tmp_path / "undisturbed", run)]
    for one, other in zip(*curves, strict=True):
        assert {**one, "core_seconds": ""} == {**other, "core_seconds": ""}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_two_processes_learn_as_one_does_through_a_kill(table, tmp_path):  # noqa: F811
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    train_recipe("oviedo2019", table, alone, cache=tmp_path / "cache", options={"width": 16}, progress=False, **BUDGET)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in BUDGET.items()]
    command = [sys.executable, "-m", "syngony", "train", "oviedo2019", "--structures", str(table), "-o", str(shared)]
    command += ["--cache", str(tmp_path / "cache"), "--processes", "2", "--option", "width=16", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while len(read_curves(shared / "curves.csv")) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert process.poll() is None
    process.kill()
    process.wait()
    assert 2 <= len(read_curves(shared / "curves.csv")) < 5
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for one, two in zip(read_curves(alone / "curves.csv"), read_curves(shared / "curves.csv"), strict=True):
        for name in ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert float(one[name]) == pytest.approx(float(two[name]), abs=2e-4), (one, two)
    states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (alone, shared)]
    for name, value in states[0].items():
        assert torch.allclose(value.float(), states[1][name].float(), atol=1e-3), name
    assert all(len(value) in (1, 7, 16, 230) for value in states[0].values() if value.dim()), "--option width=16"
    assert sorted(p.name for p in shared.iterdir()) == sorted(p.name for p in alone.iterdir())
    assert not list(tmp_path.glob("**/.*"))

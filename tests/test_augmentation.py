"""Physics-informed augmentation: what each transform may change and what it may not."""

import numpy as np
import pytest

from syngony.errors import InputError
from syngony.learning.augmentation import Chain, PeakScaling, Shift, TextureElimination, film_augmentation

STEP = 0.04
PROFILE = np.abs(np.random.default_rng(1).standard_normal((1, 1200))).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_scaling_keeps_ratios_inside_a_stretch():
    scaled = PeakScaling(STEP)(PROFILE, rng())
    factors = (scaled / PROFILE)[0]
    stretch = np.arange(1200) // 16  # 0.64 degrees
    for number in range(stretch.max() + 1):
        inside = factors[stretch == number]
        assert np.ptp(inside) < 1e-6
        assert 0 <= inside[0] <= 1
    assert np.unique(np.round(factors, 6)).size == stretch.max() + 1


def test_scaling_reaches_its_lowest_factor():
    factors = PeakScaling(STEP, lowest=0.5)(np.ones(1200), rng())
    assert 0.5 <= factors.min() < 0.55
    assert 0.95 < factors.max() <= 1.0


def test_elimination_takes_its_share_of_whole_stretches():
    gone = [TextureElimination(STEP)(np.ones(1200), rng(seed)) == 0 for seed in range(50)]
    assert np.mean(gone) == pytest.approx(1 / 3, abs=0.02)
    for one in gone:
        stretches = one.reshape(-1, 5)  # 0.2 degrees
        assert (stretches.all(1) | ~stretches.any(1)).all()


@pytest.mark.parametrize("seed", range(20))
def test_a_shift_moves_everything_alike(seed):
    line = np.zeros(1200)
    line[600] = 1.0
    moved = Shift(STEP)(line, rng(seed))
    assert moved.sum() == 1.0
    assert abs(int(moved.argmax()) - 600) <= 20  # 0.8 degrees


def test_shifts_go_both_ways_and_lose_what_leaves():
    ends = np.zeros(1200)
    ends[[0, -1]] = 1.0
    moved = [Shift(STEP)(ends, rng(seed)) for seed in range(40)]
    assert {int(one.sum()) for one in moved} <= {1, 2}
    assert any(one[:21].any() and not one[-1] for one in moved)
    assert any(one[-21:].any() and not one[0] for one in moved)
    assert not Shift(STEP, most=100.0)(np.ones(10), rng(3)).any()


def test_a_chain_ends_at_one_and_never_empty():
    sparse = np.zeros((1, 1200), np.float32)
    sparse[0, 300:303] = 1.0  # a film of one line: a third of the draws would lose it
    for seed in range(30):
        changed = film_augmentation(STEP)(sparse, rng(seed))
        assert changed.max() == 1.0
        assert changed.dtype == np.float32
        assert changed.shape == sparse.shape
    assert np.array_equal(film_augmentation(STEP)(PROFILE, rng(4)), film_augmentation(STEP)(PROFILE, rng(4)))
    nothing = Chain([lambda profile, _: 0 * profile])
    assert np.array_equal(nothing(PROFILE, rng()), PROFILE)


def test_a_stretch_holds_a_point_at_least():
    with pytest.raises(InputError, match="step <= width"):
        PeakScaling(step=0.04, width=0.01)(PROFILE, rng())

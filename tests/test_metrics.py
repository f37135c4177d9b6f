import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syngony import metrics


def test_wilson_interval_of_known_cases():
    # Newcombe 1998, Stat. Med. 17, 857, table I: 81 of 263 and 15 of 148.
    assert metrics.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert metrics.wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_proportion(case):
    correct, n = case
    low, high = metrics.wilson_interval(correct, n)
    assert 0 <= low <= correct / n + 1e-12
    assert correct / n - 1e-12 <= high <= 1


def test_the_report_of_a_small_case_by_hand():
    true = np.array([0, 0, 6, 6, 6, 3])
    predicted = np.array([0, 1, 6, 6, 0, 3])
    systems = np.full((6, 7), 0.01)
    systems[np.arange(6), predicted] = 0.94
    report = metrics.crystal_system_report(systems, true)
    assert report["accuracy"] == pytest.approx(4 / 6)
    matrix = np.array(report["confusion_matrix"])
    assert matrix[0, 0] == 1
    assert matrix[0, 1] == 1
    assert matrix[6, 0] == 1
    assert matrix.sum() == 6
    cubic = report["per_class"]["cubic"]
    assert (cubic["precision"], cubic["recall"], cubic["support"]) == (1.0, pytest.approx(2 / 3), 3)
    assert report["per_class"]["triclinic"]["f1"] == pytest.approx(0.5)
    # Systems that the set does not hold are not in the mean.
    assert report["macro_f1"] == pytest.approx(np.mean([0.5, 1.0, 0.8]))
    assert report["ece"] == pytest.approx(abs(0.94 - 4 / 6))
    assert report["coverage"][-1] == {"fraction": 1.0, "accuracy": pytest.approx(4 / 6)}


def test_calibrated_probabilities_have_no_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1.0, 200_000)
    correct = rng.random(200_000) < confidence
    assert metrics.expected_calibration_error(confidence, correct) < 0.01
    assert metrics.expected_calibration_error(confidence, np.zeros(200_000, bool)) == pytest.approx(0.6, abs=0.01)


def test_coverage_keeps_the_most_confident():
    confidence = np.array([0.9, 0.8, 0.3, 0.2])
    curve = {r["fraction"]: r["accuracy"] for r in metrics.coverage_curve(confidence, confidence > 0.5)}
    assert curve[0.5] == 1.0
    assert curve[1.0] == 0.5


def test_space_groups_that_powder_cannot_tell_apart_both_count():
    ranked = [[(194, 0.9), (62, 0.1)], [(62, 0.8), (63, 0.2)]]
    report = metrics.ranked_report(ranked, [(186, 194), (63,)])
    assert report["accuracy"] == 0.5
    assert report["top5"] == 1.0
    assert metrics.ranked_report([[], []], [(1,), (2,)])["accuracy"] is None


def test_baselines():
    true = np.array([6, 6, 6, 0])
    assert metrics.majority_baseline(true)["accuracy"] == 0.75
    profiles = np.array([[1, 0, 0, 0.1], [1, 0, 0.1, 0], [0, 1, 0, 0], [0, 1, 0.1, 0]], np.float32)
    assert metrics.nearest_neighbour_baseline(profiles, np.array([1, 1, 2, 2]))["accuracy"] == 1.0
    # Kin are no neighbours: with a twin forbidden, the answer is another compound's.
    kin = ["a", "a", "b", "b"]
    assert metrics.nearest_neighbour_baseline(profiles, np.array([1, 1, 2, 2]), kin)["accuracy"] == 0.0

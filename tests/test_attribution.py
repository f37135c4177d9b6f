"""What a network looks at: found by hiding stretches of the scan, for any network and view."""

import re

import numpy as np
import pytest

from syngony.inference import Network, Scores, shipped_models
from syngony.pattern import Pattern, q_from_two_theta
from syngony.readers import read_pattern
from syngony.report.attribution import STRETCHES, attribution_html, attribution_of
from syngony.views import ProfileView

ANGLES = np.arange(10.0, 80.0, 0.02)


def scan(*lines: float) -> Pattern:
    counts = 20.0 + 1000.0 * np.exp(-0.5 * ((ANGLES[:, None] - np.array(lines)) / 0.06) ** 2).sum(1)
    return Pattern(ANGLES, counts, "CuKa")


class LooksAt(Network):
    """A network that says cubic by what it sees at 30 degrees, and the less so by what it sees at 60."""

    def __init__(self) -> None:
        self.card: dict = {}
        self.name = "looks at 30"
        self.view = ProfileView("two_theta", 800, (10.0, 90.0), "linear")

    def scores(self, inputs: np.ndarray) -> Scores:
        def seen(angle: float) -> np.ndarray:
            place = round((angle - 10.0) / 0.1)
            return inputs[:, 0, place - 3 : place + 4].max(1)

        odds = np.exp(2.0 + 3.0 * seen(30.0) - 2.0 * seen(60.0))
        systems = np.zeros((len(inputs), 7))
        systems[:, 6] = odds / (1 + odds)
        systems[:, 0] = 1 / (1 + odds)
        return Scores(systems, None)


def test_what_matters_is_found_and_nothing_else():
    found = attribution_of(scan(20.0, 30.0, 45.0, 60.0), LooksAt())
    assert found.system == "cubic"
    assert len(found.weight) == STRETCHES == len(found.edges) - 1

    def at(angle: float) -> float:
        return float(found.weight[np.searchsorted(found.edges, angle) - 1])

    assert at(30.0) > 0.01
    assert at(60.0) < -0.005
    assert abs(at(20.0)) < 1e-3
    assert abs(at(45.0)) < 1e-3
    assert found.weight.argmax() in range(
        np.searchsorted(found.edges, 30.0) - 2, np.searchsorted(found.edges, 30.0) + 1
    )


def test_another_wavelength_moves_what_matters():
    """The view goes by way of Q: a line that falls on its 30 degrees lies elsewhere on the scan."""
    lines = np.array([15.0, 25.0, 35.0])
    q = q_from_two_theta(30.0, 1.54184)
    mine = float(np.degrees(2 * np.arcsin(0.7093 / 2 * np.sqrt(q))))
    counts = 20.0 + 1000.0 * np.exp(-0.5 * ((ANGLES[:, None] - np.array([*lines, mine])) / 0.05) ** 2).sum(1)
    found = attribution_of(Pattern(ANGLES, counts, 0.7093), LooksAt())
    place = np.searchsorted(found.edges, mine) - 1
    assert found.weight.argmax() in (place - 1, place, place + 1)


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_network_can_be_asked(name):
    network = Network.load(name)
    pattern = scan(27.4, 36.1, 41.2, 54.3, 56.6, 69.0)
    found = attribution_of(pattern, network)
    systems = network.scores(network.view(pattern)[None]).systems[0]
    assert found.probability == pytest.approx(systems.max(), abs=1e-5)
    assert np.abs(found.weight).max() > 1e-3  # something matters
    html = attribution_html(pattern, network)
    assert "evidence of attention, not of physics" in html
    assert len(re.findall("<rect", html)) == STRETCHES


def test_a_scan_that_the_network_does_not_see_has_no_fold():
    pattern = Pattern(np.arange(120.0, 150.0, 0.02), np.random.default_rng(0).random(1500), "CuKa")
    assert attribution_html(pattern, LooksAt()) == ""


def test_the_report_of_a_scan_holds_it():
    from conftest import EXAMPLES

    from syngony.determination import Determiner
    from syngony.report.answers import Report

    determiner = Determiner("mobilenetv2", evidence=("network",))
    pattern = read_pattern(EXAMPLES / "rutile.xy")
    for network, expected in ((determiner.network, 1), (None, 0)):
        report = Report("made", network=network)
        report.add(determiner(pattern), pattern)
        assert report.html().count("What the network looks at") == expected

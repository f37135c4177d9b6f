"""Evidence, posterior and verdict: three witnesses, one answer."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import TEXTBOOK

from syngony.determination import Determiner, determine
from syngony.determination.cells import CELL_FEATURES, cell_features, cell_shares, constants
from syngony.determination.evidence import Evidence
from syngony.determination.posterior import (
    EXTINCTION_OF_GROUP,
    PHASE_FEATURES,
    POWERS,
    Posterior,
    combine,
    phase_chances,
    pooled,
    power,
    power_features,
    systems_of,
)
from syngony.determination.refusal import FEATURES, refusal_features
from syngony.determination.verdict import remarks
from syngony.diffraction.laboratory import Conditions, Laboratory, tube
from syngony.diffraction.measure import measure
from syngony.diffraction.phase import Phase
from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError, PatternError
from syngony.extinction_groups import extinction_group_of
from syngony.inference import Network, Scores
from syngony.pattern import Pattern
from syngony.symmetry import CRYSTAL_SYSTEMS, SYSTEM_OF_GROUP


def scan_of(name: str, seed: int = 1, wavelength: float | None = None) -> Pattern:
    conditions = replace(
        Laboratory().draw(np.random.default_rng(seed)), counts=20_000.0, impurity=0.0, start=10.0, stop=100.0
    )
    scan = measure(Phase.from_structure(TEXTBOOK[name]()), conditions, np.random.default_rng(seed))
    return Pattern(scan.two_theta, scan.intensity, wavelength or scan.wavelength, name)


@pytest.fixture(scope="module")
def rutile():
    return scan_of("rutile")


@pytest.fixture(scope="module")
def everything():
    return Determiner(evidence=("network", "lattice", "library"))


def test_rutile_is_recognised_with_its_cell_and_group(rutile, everything):
    said = everything(rutile)
    assert said.crystal_system == "tetragonal"
    assert said.probability > 0.9
    assert said.rests_on == "recognised"
    assert "Rutile" in said.basis
    assert not said.abstained
    assert said.reasons == ()
    assert said.space_groups[0].number == 136
    assert 136 in said.extinction_groups[0]["space_groups"]
    assert said.cells[0]["a"] == pytest.approx(4.594, rel=0.02)
    assert said.cells[0]["c"] == pytest.approx(2.959, rel=0.02)
    assert sum(said.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert set(said.witnesses) == {"network", "lattice", "library"}
    assert len(said.lines) == said.cells[0]["lines_total"]


def test_without_a_library_the_cell_proves_it(rutile):
    said = determine(rutile, libraries=[], evidence=("network", "lattice", "library"))
    assert said.crystal_system == "tetragonal"
    assert said.rests_on == "proved"
    assert said.basis.startswith("proved: a tetragonal cell explains ")
    assert said.known_phases == ()


def test_the_network_alone_is_an_impression(rutile):
    said = determine(rutile, evidence=("network",))
    assert said.rests_on == "impression"
    assert said.cells == ()
    assert said.suspicion is None
    assert list(said.witnesses) == ["network"]


def test_no_such_evidence():
    with pytest.raises(InputError, match="evidence is of network, lattice, library"):
        Determiner(evidence=("gut",))
    with pytest.raises(InputError, match="nothing"):
        Determiner(evidence=())


def test_an_amorphous_hump_is_not_answered(everything):
    angle = np.arange(5.0, 90.0, 0.02)
    height = 100.0 + 900.0 * np.exp(-0.5 * ((angle - 24.0) / 4.0) ** 2)
    said = everything(Pattern(angle, np.random.default_rng(0).poisson(height).astype(float), 1.5406))
    assert said.abstained
    assert said.reasons


def test_a_wavelength_that_the_doublet_contradicts_is_not_answered(everything):
    conditions = Conditions(gauss_fwhm=0.08, counts=5000, background=0.02, radiation=tube("Cu"))
    scan = measure(Phase.from_structure(TEXTBOOK["rutile"]()), conditions, np.random.default_rng(0))
    said = everything(Pattern(scan.two_theta, scan.intensity, 1.08 * 1.54184))
    assert said.abstained
    assert any("wavelength is of no tube" in reason for reason in said.reasons)


def test_wrong_columns_are_no_crash(everything):
    angle = np.arange(5.0, 90.0, 0.02)
    said = everything(Pattern(angle, angle.copy(), 1.5406))
    assert said.abstained


@pytest.fixture
def flat_scores():
    groups = np.full((1, 230), 1.0 / 230)
    return Scores(np.stack([systems_of(groups[0])]), groups)


def test_a_posterior_is_a_distribution_whatever_was_asked(rutile, everything):
    evidence, _ = everything.weigh(rutile)
    for kinds in (("network",), ("lattice",), ("library",), ("network", "lattice"), ("lattice", "library"), None):
        posterior = combine(evidence, kinds)
        assert posterior.space_groups.sum() == pytest.approx(1.0)
        assert posterior.systems.sum() == pytest.approx(1.0)
        assert posterior.extinction_groups.sum() == pytest.approx(1.0)
        assert (posterior.space_groups >= 0).all()


def test_nothing_asked_is_the_prior(flat_scores):
    posterior = combine(Evidence())
    assert posterior.space_groups.argmax() + 1 in (1, 2, 12, 14, 62, 225)
    assert combine(Evidence(flat_scores)).space_groups == pytest.approx(flat_scores.space_groups[0])


def test_pooling_is_bayes_when_witnesses_are_independent():
    prior = np.array([0.5, 0.3, 0.2])
    network, lattice = np.array([0.2, 0.2, 0.6]), np.array([0.1, 0.8, 0.1])
    expected = network * lattice / prior
    found = pooled(network, lattice, prior, 1.0, 1.0)
    assert found == pytest.approx(expected / expected.sum())


def test_a_cell_that_leaves_lines_unexplained_says_less(rutile, everything):
    cells = everything.weigh(rutile)[0].cells
    poor = cells[0].features.copy()
    poor[CELL_FEATURES.index("unexplained")] = 0.0  # half of the intensity is left
    about, worse = power_features(cells), power_features([replace(cells[0], features=poor)])
    weights = constants()["calculated"]["powers"]["network+lattice"]["lattice"]
    assert POWERS[0] <= power(worse, weights) < power(about, weights) <= POWERS[1]
    assert power(about, dict.fromkeys(about, 1e6)) == POWERS[1]
    assert power_features(()) == {"no cell": 1.0}
    assert power({"no cell": 1.0}, {"one": 5.0, "no cell": 0.0}) == 1.0


def test_support_raises_a_phase_and_doubt_lowers_it():
    given, seen = np.array([0.4, 0.2]), np.zeros((2, len(PHASE_FEATURES)))
    rule = {"slope": 1.0, "offset": 0.0, "power": 1.0, "slip": 0.0, "size": 0.5, **dict.fromkeys(PHASE_FEATURES, -1.0)}
    plain, none = phase_chances(given, np.zeros(2), seen, 155_038, rule)
    assert plain == pytest.approx(given)
    assert none == pytest.approx(0.4)
    assert phase_chances(given, np.log([50.0, 0.8]), seen, 155_038, rule)[0][0] > 0.9
    assert phase_chances(given, np.log([1e-4, 1.0]), seen, 155_038, rule)[0][0] < 0.01
    assert phase_chances(given, np.zeros(2), seen, 9_197, rule)[1] > none  # a small library holds it less often
    seen[0, PHASE_FEATURES.index("missing")] = 1.0
    assert phase_chances(given, np.zeros(2), seen, 155_038, rule)[0][0] < plain[0]


def test_shares_of_cells_and_of_none_sum_to_one(rutile, everything):
    evidence, posterior = everything.weigh(rutile)
    shares, none = cell_shares([one.features for one in evidence.cells])
    assert shares.sum() + none == pytest.approx(1.0)
    assert shares == pytest.approx(posterior.cell_shares)
    assert (posterior.cells >= 0).all()
    assert posterior.cells.sum() <= 1.0 + 1e-9
    assert posterior.cells[0] > shares[0]  # the others agree with it
    assert cell_features(evidence.indexing, 0).shape == (len(CELL_FEATURES),)
    assert cell_shares([]) == (pytest.approx(np.empty(0)), 1.0)


def test_trigonal_or_hexagonal_is_said():
    groups = np.zeros(230)
    groups[[151, 179]] = 0.5  # P3_121 and P6_222 share a lattice and its absences but for the axis
    said = remarks(Posterior(groups, np.empty(0), np.empty(0), {}))
    assert any("trigonal and hexagonal" in remark for remark in said)


def test_disagreement_is_said():
    cubic, triclinic = (np.eye(7)[CRYSTAL_SYSTEMS.index(name)] for name in ("cubic", "triclinic"))
    posterior = Posterior(np.full(230, 1 / 230), np.empty(0), np.empty(0), {"network": cubic, "lattice": triclinic})
    assert any("network cubic, lattice triclinic" in remark for remark in remarks(posterior))


def test_refusal_features_are_finite(rutile, everything, flat_scores):
    for evidence in (everything.weigh(rutile)[0], Evidence(flat_scores), Evidence(flat_scores, phases=())):
        features = refusal_features(evidence, combine(evidence))
        assert features.shape == (len(FEATURES),)
        assert np.isfinite(features).all()


def test_tables_of_groups_agree():
    for number in (1, 62, 136, 194, 227):
        own = EXTINCTION_OF_GROUP[number - 1]
        alike = {n + 1 for n in np.flatnonzero(own == EXTINCTION_OF_GROUP)}
        assert alike == set(extinction_group_of(number).space_groups)
    assert np.bincount(SYSTEM_OF_GROUP).tolist() == [2, 13, 59, 68, 25, 27, 36]


def test_the_constants_say_on_what_they_were_fitted():
    assert "joint_calibration" in constants()["source"]


def test_a_network_says_the_same_whatever_it_is_asked_with():
    """To the last digit: answers do not depend on how files are shared out."""
    determiner = Determiner(evidence=("network",))
    scans = [scan_of(name, seed) for seed in (1, 2, 3) for name in ("rutile", "halite")]
    alone = [determiner.asked([scan])[0] for scan in scans]
    for together in (2, 3, 6):
        asked = [one for i in range(0, 6, together) for one in determiner.asked(scans[i : i + together])]
        assert all((a.space_groups == b.space_groups).all() for a, b in zip(alone, asked, strict=True))
    empty = Pattern(np.linspace(100, 120, 2001), np.arange(2001.0) % 7, 1.5406)
    asked = determiner.asked([scans[0], empty, scans[1]])
    assert isinstance(asked[1], PatternError)
    assert (asked[2].space_groups == alone[1].space_groups).all()
    assert Determiner(evidence=("lattice",)).asked(scans[:2]) == [None, None]


def test_a_calculated_scan_is_asked_of_the_network_that_the_card_names(rutile):
    general, other = Network.load(), Network.load("mobilenetv2")
    network = Network(general.path, general.card | {"calculated": other.name})
    grid = PaperGrid()
    lines = reflections(TEXTBOOK["rutile"](), 1.54184, (0.0, 90.0))
    calculated = Pattern(grid.two_theta, paper_pattern(lines, grid), 1.54184)
    assert network.suited_to(rutile) is network
    assert network.suited_to(calculated).name == other.name
    determiner = Determiner(network, evidence=("network",))
    asked = determiner.asked([calculated, rutile, calculated])
    expected = [other.scores(other.view(calculated)[None]), general.scores(general.view(rutile)[None])]
    for found, place in zip(asked, (0, 1, 0), strict=True):
        assert np.allclose(found.systems, expected[place].systems, atol=1e-6)
    evidence, _ = determiner.weigh(calculated)
    assert np.allclose(evidence.scores.systems, expected[0].systems, atol=1e-6)

"""The lattice search on cells that everybody knows."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import syngony
from syngony.cli import app
from syngony.diffraction.conditions import Conditions
from syngony.diffraction.measure import measure
from syngony.diffraction.phase import Phase
from syngony.lattice import index_lines, index_pattern, kernels, search_lattices
from syngony.lattice.bravais import bravais_lattices, doubled_lattices, finer_lattices, unit_cell
from syngony.lattice.comparison import is_derivative, reduced_metric, same_lattice, transformation
from syngony.lattice.features import FEATURES, lattice_features
from syngony.lattice.merit import de_wolff, smith_snyder
from syngony.lattice.predicted import CUBIC, MONOCLINIC, TRICLINIC, predict
from syngony.lattice.search import SearchSettings, _State
from syngony.lines import Lines
from syngony.structure import Structure
from syngony.unit_cell import CENTRINGS, UnitCell, metric_of, parameters_of

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CU = 1.540598


def two_theta_of(cell: UnitCell, count: int = 30) -> np.ndarray:
    """Angles of the first distinct lines of a cell, each reflection by brute force."""
    span = np.arange(-12, 13)
    hkl = np.array(np.meshgrid(span, span, span)).reshape(3, -1).T
    hkl = hkl[np.any(hkl != 0, axis=1)]
    h, k, l = hkl.T  # noqa: E741
    allowed = {
        "P": np.full(len(h), True), "C": (h + k) % 2 == 0, "I": (h + k + l) % 2 == 0,
        "F": ((h + k) % 2 == 0) & ((k + l) % 2 == 0), "R": (-h + k + l) % 3 == 0,
    }[cell.centring]  # fmt: skip
    q = np.einsum("ni,ij,nj->n", hkl, cell.reciprocal_metric, hkl)[allowed]
    q = np.unique(np.round(q, 9))
    angles = np.degrees(2 * np.arcsin(np.clip(0.5 * CU * np.sqrt(q), 0, 1)))
    return angles[(angles > 5) & (angles < 150)][:count]


KNOWN = {
    "halite": UnitCell(5.6402, 5.6402, 5.6402, 90, 90, 90, "F", "cubic"),
    "tungsten": UnitCell(3.1652, 3.1652, 3.1652, 90, 90, 90, "I", "cubic"),
    "rutile": UnitCell(4.5937, 4.5937, 2.9587, 90, 90, 90, "P", "tetragonal"),
    "anatase": UnitCell(3.7845, 3.7845, 9.5143, 90, 90, 90, "I", "tetragonal"),
    "zincite": UnitCell(3.2495, 3.2495, 5.2069, 90, 90, 120, "P", "hexagonal"),
    "calcite": UnitCell(4.9896, 4.9896, 17.0610, 90, 90, 120, "R", "rhombohedral"),
    "forsterite": UnitCell(4.7534, 10.1902, 5.9783, 90, 90, 90, "P", "orthorhombic"),
    "thenardite": UnitCell(9.829, 12.302, 5.868, 90, 90, 90, "F", "orthorhombic"),
    "gypsum": UnitCell(6.284, 15.200, 6.523, 90, 127.41, 90, "C", "monoclinic"),
    "baddeleyite": UnitCell(5.1505, 5.2116, 5.3173, 90, 99.23, 90, "P", "monoclinic"),
    "kyanite": UnitCell(7.1262, 7.8520, 5.5724, 89.99, 101.11, 106.03, "P", "triclinic"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_cells_come_back_from_their_lines(name):
    truth = KNOWN[name]
    lines = Lines.from_positions(two_theta_of(truth), CU, None, 0.01)
    first = index_lines(lines, 20.0).cells[0]
    assert (first.cell.lattice_system, first.cell.centring) == (truth.lattice_system, truth.centring)
    assert same_lattice(first.cell.primitive_metric, truth.primitive_metric, 1e-3, 0.05)
    assert first.lines_indexed == first.lines_total
    assert abs(first.zero_shift) < 0.01


@pytest.mark.parametrize("name", ["rutile", "forsterite", "baddeleyite"])
def test_a_zero_shift_and_strange_lines_are_borne(name):
    truth = KNOWN[name]
    rng = np.random.default_rng(3)
    angles = two_theta_of(truth) + 0.08 + 0.005 * rng.standard_normal(len(two_theta_of(truth)))
    strange = rng.uniform(angles[2], angles[-1], 3)
    first = index_lines(Lines.from_positions([*angles, *strange], CU, None, 0.01), 20.0).cells[0]
    assert same_lattice(first.cell.primitive_metric, truth.primitive_metric, 5e-3, 0.2)
    assert first.zero_shift == pytest.approx(0.08, abs=0.02)
    assert first.lines_total - first.lines_indexed <= 3


def test_uncertainties_are_those_of_repeated_measurements():
    truth, sigma = KNOWN["rutile"], 0.01
    angles = two_theta_of(truth, 20)
    a, said = [], []
    for seed in range(15):
        noise = sigma * np.random.default_rng(seed).standard_normal(len(angles))
        cell = index_lines(Lines.from_positions(angles + noise, CU, None, sigma)).cells[0]
        a.append(cell.cell.a)
        said.append(cell.uncertainties[0])
    assert 0.5 < np.std(a) / np.mean(said) < 1.6
    assert abs(np.mean(a) - truth.a) < 3 * np.mean(said)


def test_a_simulated_scan_is_indexed_from_its_peaks():
    pattern = syngony.read_pattern(EXAMPLES / "quartz.xy", "CuKa")
    found = index_pattern(pattern)
    first = found.cells[0]
    assert first.cell.lattice_system == "hexagonal"
    assert (first.cell.a, first.cell.c) == (pytest.approx(4.913, abs=0.004), pytest.approx(5.405, abs=0.004))
    assert first.intensity_explained > 0.95
    assert first.m20 > 20
    features = lattice_features(found)
    assert features.shape == (len(FEATURES),)
    assert np.isfinite(features).all()
    assert features[FEATURES.index("score hexagonal")] == features[: FEATURES.index("lines")].max()


def test_two_phases_are_not_one_cell():
    structures = [
        Structure(np.eye(3) * 5.6402, ["Na"] * 4 + ["Cl"] * 4,
                  [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5],
                   [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5]]),
        Structure(np.diag([4.5937, 4.5937, 2.9587]), ["Ti"] * 2 + ["O"] * 4,
                  [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0],
                   [0.805, 0.195, 0.5], [0.195, 0.805, 0.5]]),
    ]  # fmt: skip
    phases = [Phase.from_structure(s) for s in structures]
    conditions = Conditions(impurity=1.0, counts=20_000.0)
    scan = measure(phases[0], conditions, np.random.default_rng(0), phases[1])
    found = index_pattern(syngony.Pattern(*scan), 5.0)
    assert "a second phase?" in (found.reason or "")
    assert found.cells[0].intensity_explained < 0.85


@pytest.mark.parametrize(
    ("angles", "reason"),
    [
        ([20.0, 30.0, 40.0, 50.0], "4 lines: too few for any cell"),
        ([17.0, 23.1, 29.9, 31.2, 38.8, 44.4, 47.9], "7 lines: too few for less than orthorhombic"),
        (list(np.degrees(2 * np.arcsin(0.5 * CU * np.arange(1, 9) / 14.2))), "order of one spacing, 14.2"),
    ],
)
def test_the_reason_is_given_where_there_is_no_cell(angles, reason):
    found = index_lines(Lines.from_positions(angles, CU))
    assert not found.cells
    assert reason in (found.reason or "")
    assert np.isfinite(lattice_features(found)).all()


def test_random_lines_have_no_cell():
    invented = 0
    for seed in range(3):
        angles = np.sort(np.random.default_rng(seed).uniform(12, 70, 24))
        found = index_lines(Lines.from_positions(angles, CU, None, 0.01), 2.0)
        invented += bool(found.cells)
    assert invented <= 1


def test_the_time_budget_is_kept():
    angles = np.sort(np.random.default_rng(1).uniform(10, 60, 30))
    lines = Lines.from_positions(angles, CU)
    index_lines(lines, 0.5)
    began = time.perf_counter()
    index_lines(lines, 0.5)
    assert time.perf_counter() - began < 2.0


def test_no_cell_is_larger_than_the_limits():
    lines = Lines.from_positions(two_theta_of(KNOWN["forsterite"], 25), CU)
    assert index_lines(lines, 5.0).cells[0].cell.volume == pytest.approx(289.6, abs=0.5)
    for limits in ({"max_volume": 200.0}, {"max_axis": 8.0}):
        for cell in index_lines(lines, 1.0, **limits).cells:
            assert cell.cell.primitive_volume <= limits.get("max_volume", 4000.0)
            assert max(parameters_of(reduced_metric(cell.cell.primitive_metric))[:3]) <= limits.get("max_axis", 60.0)
    with pytest.raises(syngony.SyngonyError, match="max_volume is 0"):
        index_lines(lines, 1.0, max_volume=0.0)


def test_search_lattices_takes_lines_in_any_order():
    angles = two_theta_of(KNOWN["zincite"], 20)[::-1]
    cells = search_lattices(angles, "CuKa1", time_budget=10.0)
    assert cells[0].cell.lattice_system == "hexagonal"
    assert syngony.search_lattices is search_lattices


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.floats(3.0, 12.0)] * 3),
    st.tuples(*[st.floats(65.0, 115.0)] * 3),
    st.lists(st.integers(-2, 2), min_size=3, max_size=3),
)
def test_another_choice_of_axes_is_the_same_lattice(lengths, angles, shears):
    metric = metric_of((*lengths, *angles))
    if np.linalg.det(metric) < 0.05 * np.prod(lengths) ** 2:
        return
    basis = np.array([[1, shears[0], shears[1]], [0, 1, shears[2]], [0, 0, 1]])
    other = basis @ metric @ basis.T
    assert same_lattice(metric, other, 1e-6, 1e-3)
    assert np.linalg.det(reduced_metric(other)) == pytest.approx(np.linalg.det(metric), rel=1e-6)
    for doubled in doubled_lattices(metric):
        assert np.linalg.det(doubled) == pytest.approx(4 * np.linalg.det(metric))
        assert is_derivative(metric, doubled, 1e-6, 1e-3)
        assert not same_lattice(metric, doubled)
        rows = transformation(metric, doubled, 1e-6, 1e-3)
        assert rows is not None
        assert abs(round(float(np.linalg.det(rows)))) == 2


@pytest.mark.parametrize("name", KNOWN)
def test_the_bravais_lattice_of_a_primitive_cell(name):
    truth = KNOWN[name]
    symmetry, centring, p = bravais_lattices(truth.primitive_metric)[0]
    cell = unit_cell(symmetry, centring, p)
    assert (cell.lattice_system, cell.centring) == (truth.lattice_system, truth.centring)
    assert cell.volume == pytest.approx(truth.volume, rel=1e-6)
    assert same_lattice(cell.primitive_metric, truth.primitive_metric, 1e-5, 1e-3)


@given(
    st.sampled_from([(system, centring) for system, letters in CENTRINGS.items() for centring in letters]),
    st.permutations([3.1, 4.7, 7.3]),
    st.sampled_from([97.3, 103.9, 112.1]),
    st.lists(st.tuples(st.permutations([0, 1, 2]), st.sampled_from([-1, 1])), max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_each_of_the_fourteen_lattices_is_told_from_any_primitive_cell(lattice, lengths, beta, shears):
    system, centring = lattice
    (a, b, c), angles = lengths, (90.0, 90.0, 90.0)
    if system in ("cubic", "tetragonal", "rhombohedral", "hexagonal"):
        b = a
    if system == "cubic":
        c = a
    if system in ("rhombohedral", "hexagonal"):
        angles = (90.0, 90.0, 120.0)
    elif system in ("monoclinic", "triclinic"):
        angles = (90.0 if system == "monoclinic" else 83.0, beta, 90.0 if system == "monoclinic" else 101.0)
    metric = UnitCell(a, b, c, *angles, centring, system).primitive_metric
    for (i, j, _), sign in shears:
        change = np.eye(3)
        change[i, j] = sign
        metric = change @ metric @ change.T
    cells = [unit_cell(*near) for near in bravais_lattices(metric)]
    true = [cell for cell in cells if same_lattice(cell.primitive_metric, metric, 1e-6, 1e-4)]
    # A higher lattice may be near, but what is this lattice to the last digit has no higher name.
    assert (true[0].lattice_system, true[0].centring) == (system, centring)


def test_lines_that_obey_a_sublattice_show_the_smaller_cell():
    metric = np.diag([25.0, 36.0, 49.0])
    hkl = np.array([(h, k, 2 * m) for h in range(3) for k in range(3) for m in range(1, 3)])
    found = finer_lattices(metric, hkl, np.ones(len(hkl)))
    assert any(same_lattice(m, np.diag([25.0, 36.0, 49.0 / 4]), 1e-6, 1e-3) for m in found)


def test_predicted_lines_are_all_of_a_cell_and_once():
    cell = KNOWN["kyanite"]
    g = cell.reciprocal_metric
    p = np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]])
    q, hkl = np.zeros(5000), np.zeros((5000, 3), np.int64)
    n = predict(TRICLINIC, 0, p, 0.4, q, hkl)
    span = np.arange(-9, 10)
    every = np.array(np.meshgrid(span, span, span)).reshape(3, -1).T
    below = (np.einsum("ni,ij,nj->n", every, g, every) <= 0.4).sum()
    assert 2 * n == below - 1
    q.fill(0)
    n = predict(CUBIC, 3, np.array([1.0, 0, 0, 0, 0, 0]), 12.5, q, hkl)
    assert sorted(np.round(q[:n])) == [3, 4, 8, 11, 12]
    n = predict(MONOCLINIC, 1, np.array([0.04, 0.03, 0.05, 0.01, 0, 0]), 0.5, q, hkl)
    assert ((hkl[:n, 0] + hkl[:n, 1]) % 2 == 0).all()


def test_figures_of_merit_as_published():
    q = np.linspace(0.05, 0.5, 20)
    assert de_wolff(q, q + 1e-4, 25, 0.5) == pytest.approx(0.5 / (2 * 1e-4 * 25))
    angles = np.linspace(20, 60, 20)
    assert smith_snyder(angles, angles + 0.01, 25, 20) == pytest.approx(1 / 0.01 * 20 / 25)


def test_parameters_and_metric_are_inverse():
    cell = KNOWN["kyanite"]
    assert parameters_of(cell.metric) == pytest.approx(cell.parameters)
    assert KNOWN["halite"].primitive_volume == pytest.approx(5.6402**3 / 4)
    assert KNOWN["calcite"].primitive_volume == pytest.approx(KNOWN["calcite"].volume / 3)


class TestCommandLine:
    run = staticmethod(lambda *arguments: CliRunner().invoke(app, ["index", *map(str, arguments)]))

    def test_text_reads_well(self):
        result = self.run(EXAMPLES / "rutile.xy", "-w", "CuKa")
        assert result.exit_code == 0, result.output
        assert "tetragonal P  a = 4.59" in result.output
        assert "extinction groups: P - n -" in result.output

    def test_json_keeps_the_contract(self):
        result = self.run(EXAMPLES / "rutile.xy", "-w", "CuKa", "--json")
        (entry,) = json.loads(result.stdout)
        assert {"file", "wavelength", "error", "warnings", "cells", "extinction_groups"} <= set(entry)
        keys = ["a", "b", "c", "alpha", "beta", "gamma", "volume", "centring", "crystal_system", "merit"]
        keys += ["lines_indexed", "lines_total", "unindexed", "zero_shift"]
        assert set(keys) <= set(entry["cells"][0])
        assert 136 in entry["extinction_groups"][0]["space_groups"]

    def test_a_list_of_lines(self, tmp_path):
        path = tmp_path / "lines.txt"
        path.write_text("# rutile\n" + "\n".join(f"{x:.3f}" for x in two_theta_of(KNOWN["rutile"], 15)))
        result = self.run("--lines", path, "-w", "1.540598")
        assert result.exit_code == 0, result.output
        assert "tetragonal P" in result.output
        assert self.run("--lines", path).exit_code == 1  # a list states no wavelength

    @pytest.mark.parametrize("text", ["", "abc\n", "10 5\n20\n", "200\n"])
    def test_bad_lists_are_errors(self, tmp_path, text):
        path = tmp_path / "lines.txt"
        path.write_text(text)
        result = self.run("--lines", path, "-w", "CuKa", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)[0]["error"]

    def test_others_go_on_when_one_file_fails(self, tmp_path):
        result = self.run(tmp_path / "none.xy", EXAMPLES / "halite.xy", "-w", "CuKa")
        assert result.exit_code == 1
        assert "cubic F" in result.output


def test_a_monoclinic_cell_whose_unique_plane_shows_no_line():
    """Zones that hold the unique axis: with glides and weak lines h0l may be missing nearly all."""
    cell = UnitCell(5.132, 12.164, 7.756, 90.0, 93.46, 90.0, "P", "monoclinic")
    hkl = np.array([(h, k, m) for h in range(5) for k in range(1, 9) for m in range(-5, 6) if h or m >= 0])
    q = np.unique(np.einsum("ij,jk,ik->i", hkl, np.linalg.inv(cell.metric), hkl).round(9))[:30]
    found = index_lines(Lines.from_positions(np.degrees(2 * np.arcsin(0.77 * np.sqrt(q))), 1.54, None, 0.01), 20.0)
    assert found.cells[0].cell.lattice_system == "monoclinic"
    assert same_lattice(found.cells[0].cell.primitive_metric, cell.primitive_metric)


def test_zones_of_a_right_angle_are_found_whatever_lines_show_them():
    from syngony.lattice.search import _RECTANGLE_SQUARES, observe
    from syngony.lattice.zones import rectangles

    u, v = 0.0067, 0.0167
    q = np.array(
        sorted(u * k * k + v * m * m for k, m in ((2, 0), (2, 1), (1, 2), (3, 1), (2, 2), (4, 1), (3, 2), (1, 3)))
    )
    angles = np.degrees(2 * np.arcsin(0.77 * np.sqrt(q)))
    seen = observe(angles, 1.54, np.full(8, 0.01), np.ones(8), np.full(8, 0.02), 0.008)
    first = rectangles(seen, 8, _RECTANGLE_SQUARES)[0]
    assert first[:3] == pytest.approx([u, v, 0.0], rel=1e-6)


def test_time_in_which_functions_are_compiled_is_not_the_searchs(monkeypatch):
    ticks, ready = iter([0.9, 9.0, 9.05, 9.4]), iter([3, 4, 4, 4])
    state = _State(None, SearchSettings(1.0, lambda: next(ticks)), 1.0, ready=3, looked=0.0)
    monkeypatch.setattr(kernels, "ready", lambda: next(ready))
    assert not state.out_of_time  # 0.9 of its own
    assert not state.out_of_time  # 8.1 more, in which one was compiled
    assert state.lost == pytest.approx(8.1)
    assert not state.out_of_time  # 0.95 of its own
    assert state.out_of_time


def test_compiled_functions_are_counted():
    code = (
        "from syngony.lattice import kernels, search_lattices\n"
        "before = kernels.ready(), kernels.compiled()\n"
        "search_lattices([21.36, 30.38, 37.44, 43.51, 48.96, 54.0, 63.26, 67.6], 'CuKa1', time_budget=5.0)\n"
        "print(before, kernels.ready() > before[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) True\n"

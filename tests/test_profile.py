import numpy as np
import pytest
from conftest import rutile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import voigt_profile

from syngony.diffraction.line_shape import (
    LineShape,
    draw_lines,
    profile_pattern,
    size_broadening,
    strain_broadening,
    thompson_cox_hastings,
)
from syngony.diffraction.profile import PaperGrid, stick_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError
from syngony.pattern import q_from_two_theta, two_theta_from_q


def one_line(position, fwhm, eta, grid, skew=0.0, area=1.0, tail=1e-9):
    out = np.zeros(len(grid))
    draw_lines(*(np.array([float(x)]) for x in (position, area, fwhm, eta, skew)), grid, tail, out)
    return out


def width_at_half_height(x, y):
    above = np.flatnonzero(y >= y.max() / 2)
    return x[above[-1]] - x[above[0]]


@settings(max_examples=25, deadline=None)
@given(st.floats(30, 60), st.floats(0.05, 1.0), st.floats(0, 1), st.floats(-0.8, 0.8))
def test_a_line_has_its_area_its_width_and_its_place(position, fwhm, eta, skew):
    grid = np.arange(0, 90, 0.002)
    line = one_line(position, fwhm, eta, grid, skew, area=7.0)
    tails = 2.0 * eta * fwhm / 30.0 / np.pi  # what a Lorentzian has beyond the grid
    assert np.trapezoid(line, grid) == pytest.approx(7.0, rel=2e-3 + 2 * tails)
    assert width_at_half_height(grid, line) == pytest.approx(fwhm, abs=0.005)
    assert grid[line.argmax()] == pytest.approx(position, abs=0.003)


def test_the_wide_side_of_a_skewed_line_is_at_low_angles_below_90_degrees():
    shape = LineShape(w=0.01, asymmetry=0.05)
    assert shape.skews(np.array([10.0, 90.0, 170.0])) == pytest.approx([0.2836, 0, -0.2836], abs=1e-3)
    grid = np.arange(9, 11, 0.001)
    line = one_line(10.0, 0.1, 0.5, grid, 0.28)
    assert line[grid < 10].sum() > 1.5 * line[grid > 10].sum()


@pytest.mark.parametrize(("gauss", "lorentz"), [(0.1, 0.0), (0.1, 0.02), (0.1, 0.1), (0.02, 0.1), (0.0, 0.1)])
def test_mixing_is_close_to_a_voigt(gauss, lorentz):
    fwhm, eta = thompson_cox_hastings(np.array([gauss]), np.array([lorentz]))
    grid = np.arange(-1, 1, 0.001)
    line = one_line(0.0, fwhm[0], eta[0], grid)
    exact = voigt_profile(grid, max(gauss, 1e-6) / 2.3548200450309493, lorentz / 2)
    assert abs(line - exact).max() < 0.015 * exact.max()


def test_any_grid_samples_the_same_curve():
    lines, shape = reflections(rutile()), LineShape(u=0.02, v=-0.01, w=0.01, size=0.05, strain=0.1, asymmetry=0.02)
    regular = np.linspace(5, 90, 8501)
    curve = profile_pattern(lines, shape, regular)
    ln_q = np.linspace(*np.log(q_from_two_theta([6.0, 89.0], lines.wavelength)), 3000)
    angles = two_theta_from_q(np.exp(ln_q), lines.wavelength)
    assert profile_pattern(lines, shape, angles) == pytest.approx(
        np.interp(angles, regular, curve), abs=curve.max() / 50
    )
    odd = np.sort(np.random.default_rng(0).choice(regular, 500, replace=False))
    assert profile_pattern(lines, shape, odd) == pytest.approx(curve[np.isin(regular, odd)], rel=1e-9)


def test_a_narrow_gaussian_line_shape_is_the_papers_filter():
    lines, grid = reflections(rutile()), PaperGrid(step=0.01, sigma=5.0)
    positions = np.round(lines.two_theta / 0.01) * 0.01  # the paper puts a line on the nearest point
    smooth = np.zeros(grid.size)
    width = np.full(len(lines), 0.05 * 2.3548200450309493)
    nothing = np.zeros(len(lines))
    draw_lines(positions, lines.intensity, width, nothing, nothing, grid.two_theta, 1e-6, smooth)
    expected = stick_pattern(lines.two_theta, lines.intensity, grid)
    assert smooth / smooth.max() == pytest.approx(expected, abs=1e-3)


def test_tails_end_where_stated():
    grid = np.arange(0, 90, 0.01)
    line = one_line(45.0, 0.2, 1.0, grid, tail=1e-3)
    assert line[line > 0].min() >= 0.45e-3 * line.max()
    assert np.count_nonzero(line) < 0.1 * len(grid)
    two = np.zeros(len(grid))
    draw_lines(
        np.array([30.0, 60.0]), np.array([1.0, 1e-4]), np.full(2, 0.1), np.zeros(2), np.zeros(2), grid, 1e-3, two
    )
    assert two[5900:6100].max() == 0.0


def test_size_and_strain_in_degrees():
    assert size_broadening(1000.0, 1.54184) == pytest.approx(0.0795, abs=1e-4)
    assert strain_broadening(0.001) == pytest.approx(0.2292, abs=1e-4)
    fwhm, eta = LineShape(w=0.0, size=0.1).widths(np.array([60.0]))
    assert (fwhm[0], eta[0]) == (pytest.approx(0.1 / np.cos(np.pi / 6)), pytest.approx(1.0))


def test_impossible_shapes_and_grids_are_refused():
    lines = reflections(rutile())
    with pytest.raises(InputError, match="no width"):
        profile_pattern(lines, LineShape(v=-1.0), np.linspace(5, 90, 100))
    with pytest.raises(InputError, match="no width"):
        profile_pattern(lines, LineShape(w=0.0), np.linspace(5, 90, 100))
    for grid in ([3.0, 2.0, 1.0], [1.0, np.nan, 3.0]):
        with pytest.raises(InputError, match="increasing"):
            profile_pattern(lines, LineShape(), np.array(grid))

import numpy as np
import pytest
from conftest import halite, rutile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks, peak_prominences, peak_widths

from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import PatternError
from syngony.pattern import Pattern, q_from_two_theta, two_theta_from_q
from syngony.structure import Structure
from syngony.views import ImageView, LineListView, ProfileView, view_from_dict
from syngony.views.background import opening_background
from syngony.views.maxima import local_maxima, rise, widths
from syngony.views.profile import _cell_means


def scan(structure, wavelength=1.54184):
    """A noiseless pattern of narrow lines at any wavelength, same intensities."""
    lines = reflections(structure, "CuKa", (0, 89))
    two_theta = np.arange(2, 150, 0.01)
    at = two_theta_from_q(1 / lines.d_spacing**2, wavelength)
    width = 0.04 * np.tan(np.radians(at / 2)) / np.tan(np.radians(lines.two_theta / 2))
    intensity = sum(
        h * np.exp(-0.5 * ((two_theta - x) / w) ** 2) * 0.04 / w
        for x, h, w in zip(at, lines.intensity, width, strict=True)
    )
    return Pattern(two_theta, intensity, wavelength)


@given(
    st.lists(st.floats(0, 10, allow_subnormal=False), min_size=5, max_size=30),
    st.lists(st.floats(-1, 12, allow_subnormal=False), min_size=3, max_size=20, unique=True),
    st.integers(0, 1000),
)
@settings(deadline=None)
def test_cell_means_integrate_the_curve(values, edges, seed):
    x = np.sort(np.random.default_rng(seed).uniform(0, 10, len(values)))
    x += 1e-3 * np.arange(len(x))
    y, edges = np.array(values), np.array(sorted(edges))
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-6])]
    if len(edges) < 2:
        return
    means = _cell_means(x, y, edges)
    # By quadrature on a grid that holds every corner: exact for a piecewise linear curve.
    for low, high, mean in zip(edges[:-1], edges[1:], means, strict=True):
        inside = (x > low) & (x < high)
        grid = np.concatenate([[max(low, x[0])], x[inside], [min(high, x[-1])]])
        area = np.trapezoid(np.interp(grid, x, y), grid) if grid[-1] > grid[0] else 0.0
        assert mean == pytest.approx(area / (high - low), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("axis", ["ln_q", "two_theta"])
@pytest.mark.parametrize("wavelength", [1.0, 1.79026])
def test_the_wavelength_does_not_matter(axis, wavelength):
    view = ProfileView(axis, 2048, (10.0, 80.0), "linear", False)
    one, other = view(scan(rutile()))[0], view(scan(rutile(), wavelength))[0]
    assert np.corrcoef(one, other)[0, 1] > 0.98
    assert np.abs(one.argmax() - other.argmax()) <= 1


def test_scaling_the_lattice_shifts_ln_q():
    view = ProfileView("ln_q", 4096, (5.06, 90.0), "linear", False)
    grid = PaperGrid()
    bins = 40
    scale = np.exp(-bins * np.diff(np.log(q_from_two_theta(np.array([5.06, 90.0]), 1.54184)))[0] / 4096 / 2)
    larger = Structure(halite().lattice / scale, halite().species, halite().frac_coords)
    profiles = [
        view(Pattern(grid.two_theta, paper_pattern(reflections(s), grid), "CuKa"))[0] for s in (halite(), larger)
    ]
    tops = [np.flatnonzero((p[1:-1] > p[:-2]) & (p[1:-1] >= p[2:]) & (p[1:-1] > 0.03))[:5] for p in profiles]
    assert np.abs((tops[0] - tops[1]) - bins).max() <= 1


def test_values_are_in_range_and_unmeasured_parts_are_zero():
    pattern = scan(rutile())
    short = Pattern(pattern.two_theta[3000:6000], pattern.intensity[3000:6000], pattern.wavelength)
    view = ProfileView("two_theta", 850, (5.0, 90.0), "sqrt", True)
    values = view(short)[0]
    assert values.shape == (850,)
    assert values.max() == 1.0
    assert values.min() == 0.0
    assert not values[:260].any()
    assert not values[580:].any()


def test_a_scan_outside_the_view_is_refused():
    pattern = Pattern(np.linspace(40, 80, 500), np.random.default_rng(0).random(500), 0.05)
    with pytest.raises(PatternError, match="check the wavelength"):
        ProfileView()(pattern)


def test_the_background_goes_under_the_lines():
    two_theta = np.arange(5, 90, 0.02)
    smooth = 200 * np.exp(-two_theta / 20) + 50
    lines = sum(1000 * np.exp(-0.5 * ((two_theta - x) / 0.05) ** 2) for x in (20, 30, 31, 45, 60))
    found = opening_background(smooth + lines, 0.02)
    inner = slice(100, -100)
    assert np.abs(found - smooth)[inner].max() < 15


@pytest.mark.parametrize("layout", ["folded", "stripe"])
@pytest.mark.parametrize("colour_map", ["viridis", "gray", "roots", "planes"])
def test_images(layout, colour_map):
    if colour_map == "viridis":
        pytest.importorskip("matplotlib")
    view = ImageView(size=32, layout=layout, colour_map=colour_map)
    image = view(scan(halite()))
    assert image.shape == view.shape == (3, 32, 32)
    assert image.dtype == np.float32
    assert 0 <= image.min() < image.max() <= 1
    if layout == "stripe":
        assert (image == image[:, :1]).all()
    assert view_from_dict(view.as_dict()) == view


def test_a_folded_image_is_the_profile_in_rows():
    view = ImageView(size=32, colour_map="gray")
    profile = view.view(scan(halite()))[0]
    image = view(scan(halite()))
    assert np.abs(image[0].ravel() - profile).max() < 1 / 255
    planes = ImageView(size=32, colour_map="planes")
    assert np.array_equal(np.moveaxis(planes(scan(halite())), 0, -1).ravel(), planes.view(scan(halite()))[0])


def test_viridis_is_matplotlibs():
    matplotlib = pytest.importorskip("matplotlib")
    view = ImageView(size=32)
    profile = view.view(scan(halite()))[0].reshape(32, 32)
    expected = np.moveaxis(matplotlib.colormaps["viridis"](profile)[..., :3], -1, 0)
    assert np.abs(view(scan(halite())) - expected).max() < 1e-6
    with pytest.raises(ValueError, match="no colour map"):
        ImageView(colour_map="nonsense")(scan(halite()))


def test_channels_of_a_profile():
    pattern = scan(rutile())
    part = Pattern(pattern.two_theta[2000:6000], pattern.intensity[2000:6000], pattern.wavelength)  # 22 to 62 degrees
    view = ProfileView(points=1024, intensity="sqrt+fourth root", measured=True)
    assert view.shape == (3, 1024)
    root, fourth, measured = view(part)
    assert np.allclose(root, fourth**2, atol=1e-5)
    assert set(np.unique(measured.round(3))) >= {0.0, 1.0}
    assert (root[measured == 0] == 0).all()
    assert 0.2 < measured.mean() < 0.6
    assert view_from_dict(view.as_dict()) == view
    with pytest.raises(ValueError, match="intensity is one of"):
        ProfileView(intensity="sqrt+cube")


def test_a_list_of_lines_has_the_lines():
    structure = rutile()
    lines = reflections(structure, "CuKa", (10, 80))
    strong = lines.intensity > 3
    view = LineListView()
    columns = view(scan(structure))
    found = columns[0, columns[4] == 1]
    expected = np.log(1 / lines.d_spacing[strong] ** 2)
    distance = np.abs(found[:, None] - expected[None]).min(axis=0)
    assert (distance < 1e-3).all()
    assert columns[4, :2].tolist() == [-1, -1]
    assert columns[1].max() == pytest.approx(1.0)
    assert (np.diff(found) > 0).all()
    assert view_from_dict(view.as_dict()) == view


def test_a_list_of_lines_of_noise_is_short_and_finite():
    angles = np.arange(10, 80, 0.02)
    noise = np.random.default_rng(0).poisson(100.0, len(angles)).astype(float)
    columns = LineListView()(Pattern(angles, noise, 1.54184))
    assert np.isfinite(columns).all()
    assert (columns[2] < 1.0).all()  # none stands ten times out of the noise


@pytest.mark.parametrize("levels", [0, 6])
def test_maxima_are_those_of_scipy(levels):
    """With rounded values too, which have flat tops; and for curves too short to have any."""
    rng = np.random.default_rng(5)
    for size in (1, 2, 3, 40, 3000):
        curve = gaussian_filter1d(rng.normal(size=size), 2.0)
        curve = np.round(levels * curve) if levels else curve
        height = 0.2 * rng.normal(size=size)
        np.testing.assert_array_equal(local_maxima(curve, height), find_peaks(curve, height=height)[0])
        places = local_maxima(curve)
        np.testing.assert_array_equal(places, find_peaks(curve)[0])
        assert size < 3000 or len(places) > 100
        for window in (None, 151):
            found = rise(curve, places, window)
            expected = peak_prominences(curve, places, window)
            for own, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(own, other)
            np.testing.assert_array_equal(widths(curve, places, found), peak_widths(curve, places, 0.5, expected)[0])

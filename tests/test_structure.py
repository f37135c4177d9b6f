import numpy as np
import pytest
from conftest import TEXTBOOK, caesium_chloride, halite, rutile, triclinic, wurtzite
from hypothesis import given
from hypothesis import strategies as st

from syngony.errors import StructureError
from syngony.structure import Structure, lattice_vectors, reduced_formula
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system, crystal_system_index, space_group_of, space_group_symbol


@pytest.mark.parametrize(
    ("build", "number", "symbol", "system"),
    [
        (rutile, 136, "P4_2/mnm", "tetragonal"),
        (halite, 225, "Fm-3m", "cubic"),
        (caesium_chloride, 221, "Pm-3m", "cubic"),
        (wurtzite, 186, "P6_3mc", "hexagonal"),
        (triclinic, 2, "P-1", "triclinic"),
    ],
)
def test_textbook_labels(build, number, symbol, system):
    assert space_group_of(build()) == number
    assert space_group_symbol(number) == symbol
    assert crystal_system(number) == system


def test_monoclinic_symbols_are_short():
    assert [space_group_symbol(n) for n in (14, 15, 11)] == ["P2_1/c", "C2/c", "P2_1/m"]


def test_crystal_systems_cover_230_groups_with_the_tables_counts():
    counts = np.bincount([crystal_system_index(n) for n in range(1, 231)])
    assert dict(zip(CRYSTAL_SYSTEMS, counts.tolist(), strict=True)) == {
        "triclinic": 2,
        "monoclinic": 13,
        "orthorhombic": 59,
        "tetragonal": 68,
        "trigonal": 25,
        "hexagonal": 27,
        "cubic": 36,
    }
    for wrong in (0, 231, -1):
        with pytest.raises(ValueError, match="not in 1..230"):
            crystal_system_index(wrong)


@pytest.mark.parametrize("build", TEXTBOOK.values())
def test_parameters_are_the_inverse_of_vectors(build):
    structure = build()
    assert np.allclose(lattice_vectors(structure.parameters) @ lattice_vectors(structure.parameters).T,
                       structure.lattice @ structure.lattice.T)  # fmt: skip
    assert structure.volume == pytest.approx(abs(np.linalg.det(lattice_vectors(structure.parameters))))


def test_a_mixed_site_is_one_atom_of_its_own_kind():
    # Disordered CsCl-type alloy: both sites hold the same mixture, so the cell is body-centred.
    mixed = Structure.from_parameters(
        (3.0,) * 3 + (90,) * 3,
        ["Fe", "Co", "Fe", "Co"],
        [[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]],
        [0.5, 0.5, 0.5, 0.5],
    )
    assert not mixed.is_ordered
    assert mixed.composition == {"Fe": 1.0, "Co": 1.0}
    assert space_group_of(mixed) == 229
    uneven = Structure(mixed.lattice, mixed.species, mixed.frac_coords, [0.7, 0.3, 0.5, 0.5])
    assert space_group_of(uneven) == 221


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 3)), ["Na"], [[0, 0, 0]]), "volume"),
        ((np.eye(3) * 4, ["Xx"], [[0, 0, 0]]), "unknown element Xx"),
        ((np.diag([4, 4, 2e4]), ["Na"], [[0, 0, 0]]), "an axis of 2e\\+04 Å: check"),
        ((np.eye(3) * 4, [], np.empty((0, 3))), "no atoms"),
        ((np.eye(3) * 4, ["Na"], [[0, np.nan, 0]]), "NaN"),
        ((np.eye(3) * 4, ["Na", "Cl"], [[0, 0, 0]]), "2 species but 1 positions"),
        ((np.eye(3) * 4, ["Na"], [[0, 0, 0]], [1.5]), "occupancy 1.5"),
        ((np.eye(3) * 4, ["Na"], [[0, 0, 0]], [0.0]), "occupancy 0"),
        ((np.eye(2), ["Na"], [[0, 0, 0]]), "3 x 3"),
        ((np.eye(3) * np.nan, ["Na"], [[0, 0, 0]]), "NaN"),
        ((np.eye(3) * 4, ["Na"], [[0, 0]]), "1 species but 0.6667 positions"),
        ((np.eye(3) * 4, ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.02]]), "overlap: Na and Cl are 0.08 Å apart"),
        ((np.eye(3) * 4, ["Na", "Na"], [[0, 0.5, 0.01], [1, 0.5, -0.01]]), "overlap: Na and Na are 0.08 Å"),
        ((np.eye(3) * 4, ["Na", "K", "Rb"], np.zeros((3, 3)), [0.5, 0.4, 0.3]), "occupancies sum to 1.20"),
    ],
)
def test_impossible_structures_are_refused(arguments, message):
    with pytest.raises(StructureError, match=message):
        Structure(*arguments)


def test_split_and_mixed_sites_are_no_overlap():
    Structure(np.eye(3) * 4, ["Na", "K"], np.zeros((2, 3)), [0.6, 0.4])
    Structure(np.eye(3) * 4, ["Na", "K"], np.zeros((2, 3)), [0.667, 0.334])  # rounded in print
    Structure(np.eye(3) * 4, ["Na", "Na"], [[0, 0, 0.02], [0, 0, -0.02]], [0.5, 0.5])
    Structure(np.eye(3) * 4, ["H", "H"], [[0, 0, 0], [0, 0, 0.74 / 4]])


def test_overlaps_are_found_among_many_sites_and_across_a_skewed_cell():
    rng = np.random.default_rng(0)
    grid = (np.array(list(np.ndindex(11, 11, 11))) + 0.3) / 11
    lattice = np.array([[30.0, 0, 0], [25.0, 30, 0], [-20.0, 25, 30]])
    Structure(lattice, ["C"] * len(grid), grid)
    doubled = np.concatenate([grid, grid[700:701] + rng.integers(-2, 3, 3) + 0.0005])
    with pytest.raises(StructureError, match="overlap"):
        Structure(lattice, ["C"] * len(doubled), doubled)


@pytest.mark.parametrize("cell", [(1, 1, 1, 90, 90, 200), (0, 1, 1, 90, 90, 90), (5, 5, 5, 30, 30, 120), (1, 2, 3)])
def test_impossible_cells_are_refused(cell):
    with pytest.raises(StructureError):
        lattice_vectors(cell)


@given(
    st.dictionaries(st.sampled_from(["Na", "Cl", "O", "Ti", "H"]), st.integers(1, 12), min_size=1), st.integers(1, 7)
)
def test_a_multiple_cell_has_the_same_reduced_formula(amounts, factor):
    once = "".join(f"{s}{n}" for s, n in amounts.items())
    many = " ".join(f"{s}{n * factor}" for s, n in reversed(amounts.items()))
    assert reduced_formula(once) == reduced_formula(many)


def test_reduced_formula_examples():
    assert reduced_formula("Ti2 O4") == reduced_formula("O2Ti") == "O2 Ti1"
    assert reduced_formula("Fe0.5 Co0.5") == "Co1 Fe1"
    with pytest.raises(StructureError):
        reduced_formula("123")

import numpy as np
import pyarrow as pa
import pytest
from conftest import TEXTBOOK, halite, rutile, triclinic

from syngony.diffraction.merging import Q_TOLERANCE
from syngony.diffraction.packed import pack_structures, pack_table, packed_lines, packed_patterns, pattern_failures
from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import lorentz_polarisation, reflections
from syngony.errors import InputError, TableError, WavelengthError
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, read_table, schema

TEXTBOOK_STRUCTURES = [build() for build in TEXTBOOK.values()]
MIXED = Structure.from_parameters(
    (3.0,) * 3 + (90,) * 3, ["Fe", "Co", "Ni"], [[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]], [0.7, 0.3, 0.9]
)


def table_of(structures, **changes) -> pa.Table:
    rows = [StructureRecord(f"x-{i}", 1, s).row() for i, s in enumerate(structures)]
    for name, values in changes.items():
        for row, value in values.items():
            rows[int(row)][name] = value
    return pa.Table.from_pylist(rows, schema=schema())


def broken_table() -> pa.Table:
    """Every way in which a row can be wrong, one row each, with good rows first and last."""
    good = [halite()] * 14
    return table_of(
        good,
        species={1: ["Xx"] * 8, 2: [], 3: ["Na"] * 7, 12: None},
        lattice={4: [0.0, 5, 5, 90, 90, 90], 5: [5.0, 5, 5, 30, 30, 120], 6: [float("nan")] * 6, 7: None},
        frac_coords={8: [float("nan")] * 24, 9: [0.0] * 24},
        occupancies={10: [1.2] * 8, 11: [0.5] * 7},
    )


def test_patterns_are_the_papers_of_every_structure():
    structures = [*TEXTBOOK_STRUCTURES, MIXED]
    for grid in (PaperGrid(), PaperGrid(0.02, 0.0, (10.0, 80.0)), PaperGrid(0.05, 2.0, (20.0, 40.0))):
        patterns = packed_patterns(pack_structures(structures), "CuKa", grid)
        assert patterns.dtype == np.float32
        for structure, pattern in zip(structures, patterns, strict=True):
            expected = paper_pattern(reflections(structure, "CuKa", grid.two_theta_range), grid)
            np.testing.assert_allclose(pattern, expected, atol=1e-7)


def test_real_structures_from_the_table_are_the_same_one_by_one(materials_project):
    table = read_table(materials_project)
    rows = np.sort(np.random.default_rng(2).choice(table.num_rows, 150, replace=False))
    table = table.take(rows)
    packed = pack_table(table)
    assert packed.failures == []
    patterns = packed_patterns(packed, 1.54184)
    assert np.array_equal(patterns, packed_patterns(packed, 1.54184, threads=2))
    for index, row in enumerate(table.to_pylist()):
        structure = StructureRecord.from_row(row).structure
        lines, again = reflections(structure), reflections(packed.structure(index))
        np.testing.assert_allclose(lines.two_theta, again.two_theta, rtol=1e-12)
        np.testing.assert_allclose(lines.intensity, again.intensity, rtol=1e-9)
        np.testing.assert_allclose(patterns[index], paper_pattern(lines), atol=1e-7)


def test_options_reach_the_batch():
    options = {"b_iso": {"Ti": 0.5}, "b_overall": 0.3, "monochromator": 26.6}
    pattern = packed_patterns(pack_structures([rutile()]), "CoKa", **options)[0]
    np.testing.assert_allclose(pattern, paper_pattern(reflections(rutile(), "CoKa", **options)), atol=1e-7)


def test_lines_are_the_intensities_without_their_geometry():
    structures = [*TEXTBOOK_STRUCTURES, MIXED]
    q_max = 2.0 / 1.54184**2
    lines = packed_lines(pack_structures(structures), q_max)
    assert len(lines) == len(structures)
    assert lines.hkl.dtype == np.int16
    assert np.array_equal(lines.q, packed_lines(pack_structures(structures), q_max, threads=2).q)
    for index, structure in enumerate(structures):
        span = slice(lines.offsets[index], lines.offsets[index + 1])
        q, hkl = lines.q[span], lines.hkl[span]
        assert (np.diff(q) > Q_TOLERANCE * q[1:]).all()
        np.testing.assert_allclose(np.linalg.norm(hkl @ np.linalg.inv(structure.lattice).T, axis=1) ** 2, q, rtol=1e-9)
        intensity = lines.squared_factor[span] * lorentz_polarisation(q, 1.54184)
        intensity *= 100 / intensity.max()
        expected = reflections(structure)
        where = np.searchsorted(q, expected.d_spacing**-2.0 * (1 - 1e-9))
        np.testing.assert_allclose(intensity[where], expected.intensity, rtol=1e-6, atol=1e-6)
        assert np.delete(intensity, where).max(initial=0) < 2e-3


def test_all_lines_can_be_kept():
    packed = pack_structures([halite()])
    every, strong = packed_lines(packed, 0.5, weakest=0.0), packed_lines(packed, 0.5)
    assert (len(every.q), len(strong.q)) == (13, 5)
    sums = (every.hkl % 2).sum(axis=1)
    assert every.squared_factor[(sums == 1) | (sums == 2)].max() < 1e-15 * every.squared_factor.max()


def test_failing_rows_are_named_and_the_others_go_on():
    table = broken_table()
    packed = pack_table(table)
    reasons = dict(packed.failures)
    assert packed.rows.tolist() == [0, 13]
    assert sorted(reasons) == list(range(1, 13))
    for row, words in {
        1: "unknown element Xx", 2: "no atoms", 3: "7 species but 8 positions", 4: "impossible cell", 5: "zero volume",
        6: "NaN", 7: "six numbers", 8: "NaN", 9: "overlap", 10: "occupancy 1.2", 11: "8 species but 7 occupancies",
        12: "no atoms",
    }.items():  # fmt: skip
        assert words in reasons[row]
    patterns = packed_patterns(packed, "CuKa")
    np.testing.assert_allclose(patterns[1], paper_pattern(reflections(halite())), atol=1e-6)


def test_slices_chunks_and_batches_of_a_table_pack_alike():
    table = table_of([*TEXTBOOK_STRUCTURES, MIXED, rutile()])
    chunked = pa.concat_tables([table.slice(0, 2), table.slice(2, 3), table.slice(5)])
    whole = pack_table(table)
    for other in (pack_table(chunked), pack_table(table.combine_chunks().to_batches()[0])):
        assert np.array_equal(other.frac_coords, whole.frac_coords)
        assert np.array_equal(other.element, whole.element)
    part = pack_table(table.slice(3, 3))
    assert part.rows.tolist() == [0, 1, 2]
    assert part.structure(2).species == MIXED.species
    assert part.structure(2).occupancies == pytest.approx(MIXED.occupancies)
    assert len(pack_table(table.slice(0, 0))) == 0 == len(packed_patterns(pack_table(table.slice(0, 0)), "CuKa"))
    assert len(pack_table(table.drop_columns("occupancies").slice(0, 5))) == 5


def test_structures_without_a_pattern_are_zero_and_named():
    monster = Structure(np.eye(3) * 500, ["C"], [[0, 0, 0]])
    tiny = Structure(np.eye(3) * 1.2, ["H"], [[0, 0, 0]])
    packed = pack_structures([halite(), monster, tiny])
    patterns = packed_patterns(packed, "CuKa", PaperGrid(two_theta_range=(0.0, 60.0)))
    assert patterns.max(axis=1).tolist() == [1.0, 0.0, 0.0]
    failures = pattern_failures(packed, patterns, "CuKa", PaperGrid(two_theta_range=(0.0, 60.0)))
    assert [row for row, _ in failures] == [1, 2]
    assert "reflections" in failures[0][1]
    assert "no reflection between 0 and 60" in failures[1][1]
    lines = packed_lines(packed, 0.6)
    assert [row for row, _ in lines.failures] == [1, 2]
    assert np.diff(lines.offsets).tolist()[1:] == [0, 0]


def test_bad_requests_say_what_to_do():
    packed = pack_structures([triclinic()])
    with pytest.raises(WavelengthError):
        packed_patterns(packed, 99.0)
    with pytest.raises(InputError, match="filter"):
        packed_patterns(packed, "CuKa", PaperGrid(step=1.0, sigma=5.0, two_theta_range=(5.0, 20.0)))
    with pytest.raises(InputError, match="float32"):
        packed_patterns(packed, "CuKa", out=np.zeros((1, 9001)))
    with pytest.raises(InputError, match="q_max"):
        packed_lines(packed, 0.0)
    with pytest.raises(TableError, match="no column species"):
        pack_table(table_of([halite()]).drop_columns("species"))
    with pytest.raises(TableError, match="not a list"):
        pack_table(pa.table({"lattice": [1.0], "species": [["Na"]], "frac_coords": [[0.0] * 3]}))

"""CIF folders: textbook cells in, every atom of the cell out, every bad file refused with its reason."""

from __future__ import annotations

import gzip
from pathlib import Path

import gemmi
import numpy as np
import pytest

from syngony.errors import SourceError, StructureError
from syngony.sources import Refusal, store
from syngony.sources.cif import harvest, read_file
from syngony.sources.expansion import Site, close_pairs, expand, parse_operations
from syngony.sources.site_labels import element_of_label
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, iter_structures, read_info, read_table

CUBE = (4, 4, 4, 90, 90, 90)
P1 = "_space_group_symop_operation_xyz x,y,z"


def cif(name: str, cell: tuple, symmetry: str, sites: str, columns: str = "label x y z", extra: str = "") -> str:
    tags = {
        "label": "_atom_site_label",
        "type": "_atom_site_type_symbol",
        "x": "_atom_site_fract_x",
        "y": "_atom_site_fract_y",
        "z": "_atom_site_fract_z",
        "occ": "_atom_site_occupancy",
    }
    a, b, c, alpha, beta, gamma = cell
    return "\n".join(
        [
            f"data_{name}",
            f"_cell_length_a {a}\n_cell_length_b {b}\n_cell_length_c {c}",
            f"_cell_angle_alpha {alpha}\n_cell_angle_beta {beta}\n_cell_angle_gamma {gamma}",
            symmetry,
            extra,
            "loop_",
            *[tags[column] for column in columns.split()],
            sites,
            "",
        ]
    )


def hm(symbol: str) -> str:
    return f"_space_group_name_H-M_alt '{symbol}'"


def operations(symbol: str) -> str:
    group = gemmi.find_spacegroup_by_name(symbol).operations()
    return "\n".join(["loop_", "_space_group_symop_operation_xyz", *[f"'{op.triplet()}'" for op in group]])


HALITE = cif(
    "halite",
    (5.6402, 5.6402, 5.6402, 90, 90, 90),
    hm("F m -3 m"),
    "Na1 Na1+ 0 0 0\nCl1 Cl1- 1/2 0.5 0.5".replace("1/2", "0.5"),
    "label type x y z",
    "_chemical_name_mineral Halite",
)
RUTILE = cif(
    "rutile",
    ("4.5937(1)", "4.5937(1)", "2.9587(1)", 90, 90, 90),
    operations("P 42/m n m"),
    "Ti1 0 0 0\nO1 0.3053(2) 0.3053(2) 0",
)
CALCITE = cif(
    "calcite",
    (4.990, 4.990, 17.0615, 90, 90, 120),
    operations("R -3 c:H"),
    "Ca1 0 0 0\nC1 0 0 0.25\nO1 0.2578 0 0.25",
)
# z = 2/3 is given to three digits only: the site must still be found to lie on the twofold axis.
QUARTZ = cif(
    "quartz",
    (4.9137, 4.9137, 5.4047, 90, 90, 120),
    hm("P 32 2 1"),
    "Si1 0.4697 0 0.667\nO1 0.4133 0.2672 0.7855",
)

TEXTBOOK = {  # composition of the cell, space group, density in g/cm3
    "halite": (HALITE, {"Na": 4, "Cl": 4}, 225, 2.165),
    "rutile": (RUTILE, {"Ti": 2, "O": 4}, 136, 4.25),
    "calcite": (CALCITE, {"Ca": 6, "C": 6, "O": 18}, 167, 2.711),
    "quartz": (QUARTZ, {"Si": 3, "O": 6}, 154, 2.648),
}


def read(tmp_path: Path, text: str, name: str = "a.cif") -> list:
    path = tmp_path / name
    path.write_text(text)
    return read_file(path, tmp_path)


def only(tmp_path: Path, text: str) -> StructureRecord:
    (outcome,) = read(tmp_path, text)
    assert isinstance(outcome, StructureRecord), outcome
    return outcome


def reason(tmp_path: Path, text: str) -> str:
    (outcome,) = read(tmp_path, text)
    assert isinstance(outcome, Refusal), outcome
    assert "\n" not in outcome.reason and outcome.identifier.endswith("a.cif")
    return outcome.reason


def density(structure: Structure) -> float:
    mass = sum(gemmi.Element(symbol).weight * n for symbol, n in structure.composition.items())
    return mass / structure.volume * 1.66053907


@pytest.mark.parametrize("mineral", TEXTBOOK)
def test_textbook_cells_have_every_atom_once(mineral, tmp_path):
    text, composition, number, expected = TEXTBOOK[mineral]
    record = only(tmp_path, text)
    assert record.structure.composition == composition
    assert record.space_group_number == number
    assert density(record.structure) == pytest.approx(expected, rel=0.005)
    assert record.structure.is_ordered
    assert not close_pairs(record.structure.lattice, record.structure.frac_coords, 1.0)


def test_quartz_tetrahedra_are_whole(tmp_path):
    structure = only(tmp_path, QUARTZ).structure
    bonds = [
        distance
        for i, j, distance in close_pairs(structure.lattice, structure.frac_coords, 2.0)
        if {structure.species[i], structure.species[j]} == {"Si", "O"}
    ]
    assert len(bonds) == 12 and np.mean(bonds) == pytest.approx(1.609, abs=0.01)


def test_labels_hold_at_a_fine_tolerance_despite_rounded_coordinates(tmp_path):
    path = tmp_path / "q.cif"
    path.write_text(QUARTZ)
    (record,) = read_file(path, tolerance=1e-4)
    assert record.space_group_number == 154


def test_operations_symbol_and_number_give_the_same_atoms(tmp_path):
    body = RUTILE.split("loop_\n_atom")[1]
    cell = RUTILE.split("loop_")[0]
    ways = [
        operations("P 42/m n m"),
        hm("P 42/m n m"),
        "_space_group_IT_number 136",
        "_space_group_name_Hall '-P 4n 2n'",
    ]
    atoms = []
    for way in ways:
        structure = only(tmp_path, f"{cell}{way}\nloop_\n_atom{body}").structure
        atoms.append(sorted(zip(structure.species, map(tuple, structure.frac_coords.round(5)), strict=True)))
    assert all(other == atoms[0] for other in atoms)


def test_ids_names_sub_folders_gzip_and_blocks(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.cif").write_text(HALITE)
    (tmp_path / "deep" / "two.CIF").write_text("data_global\n_journal_year 2003\n" + RUTILE + CALCITE)
    (tmp_path / "a.cif.gz").write_bytes(gzip.compress(QUARTZ.encode()))
    (tmp_path / "readme.txt").write_text("not a CIF")
    table = tmp_path / "out" / "t.parquet"
    tally = store(harvest(tmp_path), table)
    records = list(iter_structures(read_table(table)))
    assert [r.material_id for r in records] == ["a", "b", "deep/two:rutile", "deep/two:calcite"]
    assert [r.name for r in records] == ["", "Halite", "", ""]
    assert [r.space_group_number for r in records] == [154, 225, 136, 167]
    assert tally.written == 4 and tally.ordered == 4 and not tally.refusals
    info = read_info(table)
    assert info.label_tolerance == 0.1 and "CIF" in info.source and info.licence


def test_mixed_and_partial_sites_are_kept(tmp_path):
    text = cif(
        "periclase",
        (4.25, 4.25, 4.25, 90, 90, 90),
        hm("F m -3 m"),
        "Mg Mg2+ 0 0 0 0.75\nFe Fe2+ 0.0001 0 0 0.20\nO O2- 0.5 0.5 0.5 1.0\nXx Zn 0.25 0.25 0.25 0",
        "label type x y z occ",
    )
    structure = only(tmp_path, text).structure
    assert structure.composition == {"Mg": 3.0, "Fe": 0.8, "O": 4.0}
    assert not structure.is_ordered
    at = {s: {tuple(p) for p in structure.frac_coords[[t == s for t in structure.species]]} for s in ("Mg", "Fe")}
    assert at["Mg"] == at["Fe"], "a mixed site has one and the same position"
    assert only(tmp_path, text).space_group_number == 225


def test_one_element_in_two_valences_on_a_site_is_one_full_atom(tmp_path):
    sites = "Fe1 Fe2+ 0 0 0 0.333\nFe2 Fe3+ 0 0 0 0.667\nO O2- 0.5 0.5 0.5 1"
    text = cif("wustite", (4.3, 4.3, 4.3, 90, 90, 90), hm("F m -3 m"), sites, "label type x y z occ")
    structure = only(tmp_path, text).structure
    assert structure.is_ordered and structure.composition == {"Fe": 4.0, "O": 4.0}


def test_deuterium_is_an_element(tmp_path):
    text = cif("d", CUBE, P1, "D1 D 0 0 0\nO1 O2- 0.25 0 0", "label type x y z")
    assert only(tmp_path, text).structure.species == ("D", "O")


BAD = {
    "no atoms: the file": "data_x\n_journal_year 2000\n",
    "no atoms: the block": cif("x", CUBE, P1, "Na", "label"),
    "no data block": "",
    "not a readable CIF": "data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\nNa1",
    "unknown element": cif("x", CUBE, P1, "Q1 Qq 0 0 0", "label type x y z"),
    "the angles 120 120 130° close no cell: zero volume": cif("x", (4, 4, 4, 120, 120, 130), P1, "Na 0 0 0"),
    "the cell volume is": cif("x", (4, 4, 4, 120, 120, 120), P1, "Na 0 0 0"),
    "impossible cell": cif("x", (4, 0, 4, 90, 90, 90), P1, "Na 0 0 0"),
    "the cell parameters hold NaN": cif("x", (4, "?", 4, 90, 90, 90), P1, "Na 0 0 0"),
    "no unit cell: _cell_length_a is missing": f"data_x\n{P1}\nloop_\n_atom_site_fract_x\n0\n",
    "occupancy not in (0, 1]: Na has 1.3": cif("x", CUBE, P1, "Na 0 0 0 1.3", "label x y z occ"),
    "atoms overlap: Na and Cl are 0.12 Å": cif("x", CUBE, P1, "Na 0 0 0\nCl 0 0 0.97"),
    "one position is occupied more than once": cif("x", CUBE, P1, "Na 0 0 0 0.8\nK 0 0 0 0.8", "label x y z occ"),
    "a site has no coordinates: Na2": cif("x", CUBE, P1, "Na1 0 0 0\nNa2 ? ? ?"),
    "no symmetry": cif("x", CUBE, "", "Na 0 0 0"),
    "space group not understood: 'P 9'": cif("x", CUBE, hm("P 9"), "Na 0 0 0"),
    "symmetry operations incomplete": cif(
        "x",
        CUBE,
        "loop_\n_space_group_symop_operation_xyz\nx,y,z\n-y,x,z",
        "Na 0.1 0.2 0.3",
    ),
    "less symmetry found than stated": cif("x", (4, 5, 6, 90, 90, 90), hm("P m -3 m"), "Na 0 0 0\nCl 0.5 0.5 0.5"),
    "site label ambiguous": cif("x", CUBE, P1, "CO1 0 0 0"),
}


@pytest.mark.parametrize("start", BAD)
def test_bad_files_are_refused_with_a_reason(start, tmp_path):
    assert reason(tmp_path, BAD[start]).startswith(start)


def test_text_that_is_not_utf8_is_refused_or_read_but_never_breaks(tmp_path):
    path = tmp_path / "a.cif"
    path.write_bytes(HALITE.replace("Halite", "'Halite \xe9'").encode("latin-1"))
    (outcome,) = read_file(path)
    assert isinstance(outcome, StructureRecord | Refusal)


def test_bad_files_do_not_stop_the_good_ones(tmp_path):
    for number, text in enumerate(BAD.values()):
        (tmp_path / f"{number:02d}.cif").write_text(text)
    (tmp_path / "good.cif").write_text(HALITE)
    tally = store(harvest(tmp_path), tmp_path / "t.parquet")
    assert tally.written == 1 and len(tally.refusals) == len(BAD)


def test_one_bad_block_does_not_stop_the_other(tmp_path):
    bad = BAD["unknown element"]
    good, refused = read(tmp_path, HALITE + bad)
    assert good.material_id == "a:halite" and refused.identifier.endswith("a.cif (data_x)")


def test_empty_and_missing_folders_are_errors_that_say_what_to_do(tmp_path):
    with pytest.raises(SourceError, match=r"holds no \.cif"):
        harvest(tmp_path)
    with pytest.raises(SourceError, match="no such folder; give"):
        harvest(tmp_path / "absent")


def test_when_every_file_is_refused_an_older_table_survives(tmp_path):
    table = tmp_path / "t.parquet"
    (tmp_path / "a.cif").write_text(HALITE)
    store(harvest(tmp_path), table)
    (tmp_path / "a.cif").write_text(BAD["no symmetry"])
    with pytest.raises(SourceError, match="no structure to write"):
        store(harvest(tmp_path), table)
    assert read_table(table).num_rows == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cif", "t.parquet"]


def test_unwritable_outputs_are_one_line_errors(tmp_path):
    (tmp_path / "a.cif").write_text(HALITE)
    with pytest.raises(SourceError, match="is a folder"):
        store(harvest(tmp_path), tmp_path)
    with pytest.raises(SourceError, match="cannot be written"):
        store(harvest(tmp_path), tmp_path / "a.cif" / "t.parquet")


def test_workers_keep_the_order(tmp_path):
    for number in range(400):
        (tmp_path / f"{number:03d}.cif").write_text(cif("x", (4 + number / 1000, 4, 4, 90, 90, 90), P1, "Na 0 0 0"))
    alone, together = (list(harvest(tmp_path, limit=400, workers=n).outcomes) for n in (1, 2))
    assert [r.material_id for r in alone] == [r.material_id for r in together]
    assert [r.structure.parameters for r in alone] == [r.structure.parameters for r in together]


@pytest.mark.parametrize("number", [2, 14, 62, 136, 148, 161, 167, 194, 221, 225, 227, 230])
def test_an_orbit_is_the_general_multiplicity_over_the_site_symmetry(number):
    group = gemmi.get_spacegroup_reference_setting(number)
    cubic = group.crystal_system_str() == "cubic"
    hexagonal = group.crystal_system_str() in ("trigonal", "hexagonal")
    cell = (20.0, 20.0, 20.0 if cubic else 23.0, 90, 90, 120 if hexagonal else 90)
    ops = parse_operations(tuple(op.triplet() for op in group.operations()))
    general = expand(cell, [Site("Si", (0.131, 0.407, 0.071))], ops)
    assert len(general) == len(group.operations())
    origin = expand(cell, [Site("Si", (0.0, 0.0, 0.0))], ops)
    near = expand(cell, [Site("Si", (0.001, -0.001, 0.0005))], ops)
    assert len(group.operations()) % len(origin) == 0
    assert len(near) == len(origin), "rounding must not double a special position"


def test_operations_with_nonsense_are_refused():
    with pytest.raises(StructureError, match="not understood"):
        parse_operations(("x,y,banana",))


@pytest.mark.parametrize(
    ("label", "formula", "element"),
    [
        ("Na1", (), "Na"), ("SiT1", ("Si", "O"), "Si"), ("O-H3", ("O", "H"), "O"), ("Wat2", ("W", "O"), "O"),
        ("Ow", ("Os", "O"), "O"), ("Os1", ("Os",), "Os"), ("Os1", ("O", "Si"), "O"), ("Co2", ("C", "O"), "C"),
        ("Co2", ("Co", "O"), "Co"), ("CO3", ("Co",), "Co"), ("NH4(1)", ("N", "H"), "N"), ("KA", ("K",), "K"),
        ("D1", ("H", "O"), "D"), ("Pba", ("Pb",), "Pb"), ("FE1", ("Fe",), "Fe"), ("OSi1", ("O", "Si"), "O"),
    ],
)  # fmt: skip
def test_site_labels(label, formula, element):
    assert element_of_label(label, formula) == element

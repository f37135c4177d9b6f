"""Synthetic crystals: symmetry that is exact, statistics that are kept, one result for one seed."""

from __future__ import annotations

import sys
from collections import Counter

import gemmi
import numpy as np
import pytest
import spglib

from syngony import cli
from syngony.sources import store, synthetic
from syngony.sources.synthetic.crystal import Rejection, draw_crystal, shortest_distances
from syngony.sources.synthetic.lattices import bravais_lattice, cell_of, shape_of
from syngony.sources.synthetic.statistics import chemistry, draw_cell, group_statistics, space_group_weights
from syngony.sources.synthetic.wyckoff import primitive_basis, wyckoff_positions
from syngony.structure_table import StructureRecord, iter_structures, read_info, read_table
from syngony.symmetry import crystal_system, space_group_of

# Multiplicities and letters of International Tables for Crystallography A.
WYCKOFF = {
    1: "1a",
    14: "2a 2b 2c 2d 4e",
    62: "4a 4b 4c 8d",
    136: "2a 2b 4c 4d 4e 4f 4g 8h 8i 8j 16k",
    166: "3a 3b 6c 9d 9e 18f 18g 18h 36i",
    194: "2a 2b 2c 2d 4e 4f 6g 6h 12i 12j 12k 24l",
    225: "4a 4b 8c 24d 24e 32f 48g 48h 48i 96j 96k 192l",
    227: "8a 8b 16c 16d 32e 48f 96g 96h 192i",
}


@pytest.mark.parametrize("number", WYCKOFF)
def test_multiplicities_and_letters(number):
    assert " ".join(f"{p.multiplicity}{p.letter}" for p in wyckoff_positions(number)) == WYCKOFF[number]


def test_there_are_1731_positions():
    assert sum(len(wyckoff_positions(number)) for number in range(1, 231)) == 1731


@pytest.mark.parametrize("number", range(1, 231))
def test_positions_are_orbits_of_the_group(number):
    """Every operation maps the atoms of a position onto themselves, and their number is the multiplicity."""
    operations = gemmi.get_spacegroup_reference_setting(number).operations()
    seitz = np.array([op.float_seitz() for op in operations])
    basis = primitive_basis(number)
    centring = np.array(operations.cen_ops) / gemmi.Op.DEN
    for position in wyckoff_positions(number):
        atoms = position.maps @ [0.1357, 0.0719, 0.2213, 1.0] @ basis
        cell = _distinct((atoms[:, None] + centring).reshape(-1, 3))
        assert len(cell) == position.multiplicity
        images = np.einsum("oij,aj->oai", seitz[:, :3, :3], cell) + seitz[:, None, :3, 3]
        assert len(_distinct(images.reshape(-1, 3))) == position.multiplicity


def _distinct(points):
    key = ((points + 1e-6) % 1.0).round(5)  # shifted, for no coordinate then lies between two roundings
    return points[np.unique(key, axis=0, return_index=True)[1]]


@pytest.mark.parametrize("number", [1, 14, 63, 136, 166, 194, 225])
def test_letters_are_those_of_spglib(number):
    """Atoms on each position of a structure that has exactly the group: spglib names the same letter."""
    rng = np.random.default_rng(number)
    cell = draw_cell(rng, number, np.log(2000.0))
    general = wyckoff_positions(number)[-1]
    basis = primitive_basis(number)
    for position in wyckoff_positions(number):
        orbits = [position.maps @ [0.1357, 0.0719, 0.2213, 1.0]]
        orbits += [general.maps @ [*rng.random(3), 1.0] for _ in range(2)]
        kinds = np.repeat([1, 2, 3], [len(orbit) for orbit in orbits])
        data = spglib.get_symmetry_dataset((basis @ cell, np.concatenate(orbits), kinds), symprec=1e-4)
        assert data.number == number
        # The origin is spglib's choice, so that 1a of P-1 may be its 1h; kind and size of the position stay.
        (named,) = (p for p in wyckoff_positions(number) if p.letter == data.wyckoffs[0])
        assert (named.multiplicity, named.free) == (position.multiplicity, position.free)


@pytest.mark.parametrize("number", [2, 12, 62, 139, 148, 191, 216])
def test_a_cell_and_its_shape_are_inverse(number):
    rng = np.random.default_rng(number)
    cell = draw_cell(rng, number, np.log(300.0))
    assert np.linalg.det(cell) == pytest.approx(300.0)
    log_volume, *shape = shape_of(bravais_lattice(number), cell)
    again = cell_of(bravais_lattice(number), log_volume, np.array(shape))
    assert again == pytest.approx(cell, abs=1e-9)


@pytest.mark.parametrize("number", [1, 2, 4, 15, 36, 62, 76, 78, 88, 144, 145, 161, 178, 179, 194, 205, 225, 227])
def test_the_label_is_the_group_that_was_asked_for(number):
    """Enantiomorphs (76 and 78, 144 and 145, 178 and 179) too: no cell is turned inside out on the way to a row."""
    rng = np.random.default_rng(number)
    found = 0
    for _ in range(400):
        try:
            structure = draw_crystal(rng, number, 3, 1.2, 0.1)
        except Rejection:
            continue
        row = StructureRecord("x", number, structure).row()
        assert space_group_of(StructureRecord.from_row(row).structure) == number
        found += 1
        if found == 3:
            return
    pytest.fail("no crystal in 400 attempts")


def test_atoms_keep_their_distances():
    shortest, symbols = shortest_distances(), chemistry().symbols
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for number in range(20):
        structure = synthetic.draw_number(number, seed=5).outcome.structure
        kinds = np.array([symbols.index(symbol) for symbol in structure.species])
        offsets = structure.frac_coords[:, None] - structure.frac_coords
        offsets -= np.rint(offsets)
        distances = np.linalg.norm((offsets[:, :, None] + steps) @ structure.lattice, axis=-1)
        distances[distances < 1e-9] = np.inf
        assert (distances.min(axis=-1) >= shortest[np.ix_(kinds, kinds)] - 1e-6).all()


def test_workers_do_not_change_the_table(tmp_path):
    for workers in (1, 2):
        store(synthetic.harvest(450, seed=3, workers=workers), tmp_path / f"{workers}.parquet")
    one, two = (read_table(tmp_path / f"{workers}.parquet") for workers in (1, 2))
    assert one.equals(two) and one.num_rows == 450


def test_a_table_says_what_it_is(tmp_path):
    harvest = synthetic.harvest(40, seed=11, flatten=1.0)
    tally = store(harvest, tmp_path / "t.parquet")
    records = list(iter_structures(read_table(tmp_path / "t.parquet")))
    assert tally.written == len(records) == 40
    assert all(record.material_id.startswith("syn-11-") for record in records)
    assert len({record.material_id for record in records}) == 40
    assert len({record.space_group_number for record in records}) > 30, "all groups are as likely"
    info = read_info(tmp_path / "t.parquet")
    assert info.label_tolerance == 0.1 and info.notes == {"seed": "11", "flatten": "1"}
    assert len(harvest.remarks) == 1 and "another space group found" in harvest.remarks[0]


def test_another_seed_gives_other_crystals():
    first, again, other = (synthetic.draw_number(0, seed=seed).outcome.structure for seed in (1, 1, 2))
    assert first.formula == again.formula and np.array_equal(first.frac_coords, again.frac_coords)
    assert first.parameters != other.parameters


def test_space_groups_are_as_frequent_as_asked():
    counted, even = space_group_weights(0.0), space_group_weights(1.0)
    assert counted.sum() == pytest.approx(1) and even == pytest.approx(np.full(230, 1 / 230))
    assert counted[[0, 1, 13, 61, 224]].sum() > 0.3, "P1, P-1, P2_1/c, Pnma and Fm-3m are a third of any database"
    assert counted.min() > 0
    between = space_group_weights(0.5)
    assert even.max() < between.max() < counted.max()


def test_oxygen_goes_with_metals_and_noble_gases_with_nobody():
    table = chemistry()
    rng = np.random.default_rng(0)
    drawn = Counter(table.symbols[i] for _ in range(2000) for i in set(table.draw(rng, 6)))
    assert drawn["O"] > 5 * drawn["Xe"] and drawn["O"] == max(drawn.values())


def test_every_space_group_has_statistics():
    for number in range(1, 231):
        statistics = group_statistics(number)
        assert len(statistics.positions) == len(wyckoff_positions(number))
        assert (statistics.positions > 0).all() and statistics.orbits[-1] > 0
        assert crystal_system(number)


def test_the_command(tmp_path, monkeypatch, capsys):
    table = tmp_path / "t.parquet"
    arguments = ["--count", "25", "--seed", "4", "--workers", "1", "-o", str(table)]
    monkeypatch.setattr(sys, "argv", ["syngony", "data", "fetch", "synthetic", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    output = capsys.readouterr()
    assert not caught.value.code
    assert "25 structures (25 ordered, 0 disordered), labelled by spglib at 0.1 Å" in output.out
    assert output.err.count("\n") == 1 and "crystals drawn for 25" in output.err
    for record in iter_structures(read_table(table)):
        assert space_group_of(record.structure) == record.space_group_number

"""Crystals with other elements: the same sites and symmetry, never a compound that is held out."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the 'train' extra")

from test_learning import table  # noqa: E402, F401  fixture

from syngony import cli  # noqa: E402
from syngony.errors import StructureError  # noqa: E402
from syngony.learning.split import side_of  # noqa: E402
from syngony.learning.substitution import NONMETALS, Substitution, substitute_table  # noqa: E402
from syngony.structure import Structure  # noqa: E402
from syngony.structure_table import StructureRecord, iter_structures, read_info, read_table  # noqa: E402
from syngony.symmetry import space_group_of  # noqa: E402


def test_sites_and_symmetry_stay_and_nothing_held_out_is_made(table, tmp_path):  # noqa: F811
    paths = [tmp_path / f"{name}.parquet" for name in ("first", "again", "other")]
    counts = [substitute_table(table, path, seed) for path, seed in zip(paths, (0, 0, 1), strict=True)]
    first, again, other = (list(iter_structures(read_table(path))) for path in paths)
    parents = {record.material_id: record for record in iter_structures(read_table(table))}
    training = [record for record in parents.values() if side_of(record.structure.formula) == "train"]
    assert counts[0] == counts[1] == len(first) <= len(training)
    assert len(first) > 0.9 * len(training)
    changed = 0
    for record in first:
        assert side_of(record.structure.formula) == "train"
        parent = parents[record.material_id.removesuffix("-sub0")].structure
        assert np.allclose(record.structure.frac_coords, parent.frac_coords)
        ratio = record.structure.lattice / np.where(parent.lattice == 0, 1, parent.lattice)
        assert np.ptp(ratio[np.abs(parent.lattice) > 1e-6]) < 1e-6
        pairs = set(zip(parent.species, record.structure.species, strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert all((a in NONMETALS) == (b in NONMETALS) for a, b in pairs)
        changed += parent.species != record.structure.species
    assert changed > 0.5 * len(first)
    for record in first[:40]:
        assert space_group_of(record.structure) == record.space_group_number
    species = [[record.structure.species for record in records] for records in (first, again, other)]
    assert species[0] == species[1] != species[2]
    assert read_info(paths[0]).source.startswith("Of the training side, with other elements in place of theirs")


def test_more_elements_than_there_are_is_an_error():
    crystal = Structure(np.eye(3) * 4, ["Na", "K"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(StructureError, match="2 elements of a kind"):
        Substitution([["Na", "Cl"]])(StructureRecord("one", 221, crystal), np.random.default_rng(0))


def test_the_command_writes_a_table(table, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr("sys.argv", ["syngony", "data", "substitute", str(table), "-o", str(tmp_path / "new.parquet")])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert f"{len(read_table(tmp_path / 'new.parquet'))} structures with other elements" in capsys.readouterr().out

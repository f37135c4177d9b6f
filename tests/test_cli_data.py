"""``syngony data``: exit status, stdout, stderr, files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from syngony import cli
from syngony.report.structures import draw_counts, draw_proportions, proportions, summarise
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, write_structures
from syngony.symmetry import CRYSTAL_SYSTEMS

HALITE = """data_halite
_cell_length_a 5.6402
_cell_length_b 5.6402
_cell_length_c 5.6402
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na 0 0 0 1
Cl 0.5 0.5 0.5 OCC
"""


@pytest.fixture
def syngony(monkeypatch, capsys):
    """Run the command line as the shell does: (status, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["syngony", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output = capsys.readouterr()
        return int(caught.value.code or 0), output.out, output.err

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "cifs"
    place.mkdir()
    (place / "halite.cif").write_text(HALITE.replace("OCC", "1"))
    return place


@pytest.fixture
def table(tmp_path) -> Path:
    """Three cubic structures (one disordered, one a supercell of another) and a triclinic one."""
    cube, positions = np.eye(3) * 5.6, [[0, 0, 0], [0.5, 0.5, 0.5]]
    records = [
        StructureRecord("a", 221, Structure(cube, ["Cs", "Cl"], positions), "first"),
        StructureRecord("b", 221, Structure(cube, ["Cl", "Cs"], positions)),
        StructureRecord("c", 221, Structure(cube, ["K", "Cl"], positions, [0.5, 1])),
        StructureRecord("d", 1, Structure(cube, ["K"], [[0, 0, 0]])),
    ]
    path = tmp_path / "t.parquet"
    write_structures(path, records, TableInfo("a source [2003]", "CC0", 0.1))
    return path


def test_a_folder_of_good_files(syngony, folder, tmp_path):
    status, out, err = syngony("data", "fetch", "cif", folder, "-o", tmp_path / "t.parquet")
    assert (status, err) == (0, "")
    assert "1 structures (1 ordered, 0 disordered), labelled by spglib at 0.1 Å" in out


def test_refused_files_are_named_and_the_rest_is_written(syngony, folder, tmp_path):
    (folder / "much.cif").write_text(HALITE.replace("OCC", "1.2"))
    (folder / "empty.cif").write_text("")
    status, out, err = syngony("data", "fetch", "cif", folder, "-o", tmp_path / "t.parquet")
    assert status == 1 and "1 structures" in out
    lines = err.splitlines()
    assert lines[0] == f"{folder / 'empty.cif'}: no data block: the file is empty"
    assert lines[1] == f"{folder / 'much.cif'}: occupancy not in (0, 1]: Cl has 1.2"
    assert lines[2:] == ["refused: 2"]
    assert summarise(tmp_path / "t.parquet").total == 1


def test_ordered_only_is_no_failure(syngony, folder, tmp_path):
    (folder / "half.cif").write_text(HALITE.replace("OCC", "0.5"))
    output = tmp_path / "t.parquet"
    status, out, err = syngony("data", "fetch", "cif", folder, "-o", output, "--ordered-only")
    assert status == 0 and "1 structures (1 ordered" in out and "left out by --ordered-only" in err


def test_an_empty_folder_is_one_line_and_leaves_nothing(syngony, tmp_path):
    (tmp_path / "none").mkdir()
    status, out, err = syngony("data", "fetch", "cif", tmp_path / "none", "-o", tmp_path / "t.parquet")
    assert (status, out) == (1, "") and err.startswith("syngony: ") and err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["none"]


def test_a_missing_key_is_one_line(syngony, tmp_path, monkeypatch):
    pytest.importorskip("mp_api", reason="mp-api is not installed")
    monkeypatch.delenv("MP_API_KEY", raising=False)
    status, _, err = syngony("data", "fetch", "materials-project", "-o", tmp_path / "t.parquet")
    assert status == 1 and err.startswith("syngony: MP_API_KEY is not set: get a key") and err.count("\n") == 1


def test_materials_project_against_the_stub(syngony, tmp_path, monkeypatch):
    pytest.importorskip("mp_api", reason="mp-api is not installed")
    from materials_project_stub import KEY, MaterialsProjectStub

    service = MaterialsProjectStub()
    monkeypatch.setenv("MP_API_KEY", KEY)
    output = tmp_path / "t.parquet"
    chosen = ("--systems", "tetragonal,cubic", "--count", 4, "--endpoint", service.endpoint)
    status, out, err = syngony("data", "fetch", "materials-project", "-o", output, *chosen)
    service.close()
    assert status == 0 and "7 structures (7 ordered" in out
    assert err == "tetragonal: 3 structures, not 4: there are no more\n"
    counts = summarise(output).counts
    assert counts["cubic"] == 4 and counts["tetragonal"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("fetch", "icsd", "-o", "t.parquet"),
        ("fetch", "amcsd"),
        ("fetch", "amcsd", "-o", "t.parquet", "--tolerance", "0"),
        ("fetch", "amcsd", "-o", "t.parquet", "--limit", "0"),
        ("fetch", "materials-project", "-o", "t.parquet", "--systems", "rhombic"),
    ],
)
def test_wrong_usage_exits_with_2(syngony, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = syngony("data", *arguments)
    assert status == 2 and err and not list(tmp_path.iterdir())


def test_info_prints_counts_proportions_and_origin(syngony, table):
    status, out, err = syngony("data", "info", table)
    assert (status, err) == (0, "")
    rows = {line.split()[1]: line for line in out.splitlines() if line.startswith("│")}
    assert "3" in rows["cubic"] and "75.0%" in rows["cubic"] and "█" * 20 in rows["cubic"]
    assert "25.0%" in rows["triclinic"] and "0.0%" in rows["hexagonal"] and "█" not in rows["hexagonal"]
    for text in ("a source [2003]", "CC0", "0.1 Å", "3 of 4", "1 to 2, median 2"):
        assert text in out


def test_info_as_json(syngony, table):
    status, out, _ = syngony("data", "info", table, "--json")
    found = json.loads(out)
    assert status == 0 and found["n"] == 4 and found["ordered"] == 3 and found["disordered"] == 1
    assert list(found["crystal_systems"]) == list(CRYSTAL_SYSTEMS)
    assert found["crystal_systems"]["cubic"] == {"count": 3, "proportion": 0.75}
    assert found["reduced_formulas"] == 3, "CsCl and ClCs are one formula"
    assert found["elements"] == 3 and found["sites"] == {"min": 1, "median": 2.0, "max": 2}
    assert found["source"] == "a source [2003]" and found["label_tolerance"] == 0.1


def test_info_draws_both_figures(syngony, table, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    status, out, _ = syngony("data", "info", table, "--figures", tmp_path / "figures")
    assert status == 0 and "counts.png" in out
    for name in ("counts.png", "proportions.png"):
        content = (tmp_path / "figures" / name).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 5000


@pytest.mark.parametrize("damage", ["truncated", "text", "absent", "columns"])
def test_bad_tables_are_one_line(syngony, table, damage, tmp_path):
    if damage == "truncated":
        table.write_bytes(table.read_bytes()[:-100])
    elif damage == "text":
        table.write_text("id,formula\n")
    elif damage == "absent":
        table = tmp_path / "absent.parquet"
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"formula": ["NaCl"]}), table)
    status, out, err = syngony("data", "info", table)
    assert (status, out) == (1, "") and err.startswith("syngony: ") and err.count("\n") == 1
    assert str(table) in err


def test_figures_refuse_what_cannot_be_drawn_or_written(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    counts = dict.fromkeys(CRYSTAL_SYSTEMS, 0)
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_proportions(counts, tmp_path / "p.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        draw_counts(counts, tmp_path / "file" / "c.png")


def test_proportions_sum_to_one():
    shares = proportions({"cubic": 3, "trigonal": 4, "triclinic": 0})
    assert sum(shares.values()) == pytest.approx(1) and shares["triclinic"] == 0


def test_help_imports_nothing_heavy():
    program = (
        "import sys; import syngony.cli; heavy = 'numpy pyarrow spglib gemmi rich.progress mp_api'.split(); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

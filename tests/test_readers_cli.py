"""The command line with instrument files: one answer a scan."""

from __future__ import annotations

import json
from pathlib import Path

import instrument_files as files
import numpy as np
import pytest
from instrument_files import Written
from typer.testing import CliRunner

from syngony.cli import app


def halite(step: float) -> Written:
    """The stronger lines of NaCl at CuKa1, 20 to 80 degrees."""
    angles = np.arange(20.0, 80.0, step)
    lines = {27.37: 13, 31.70: 100, 45.45: 55, 53.87: 2, 56.48: 15, 66.23: 6, 73.07: 2, 75.29: 11}
    counts = 40 + sum(50 * i * np.exp(-(((angles - x) / 0.06) ** 2)) for x, i in lines.items())
    return Written(20.0, step, tuple(int(c) for c in counts))


@pytest.fixture
def several(tmp_path: Path) -> str:
    path = tmp_path / "two.dat"  # RAS, whatever it is called
    path.write_bytes(files.ras([halite(0.02), halite(0.03)]))
    return str(path)


def test_determine_gives_one_entry_a_scan(several: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.brml"
    wrong.write_bytes(files.brml([halite(0.02)])[:-50])
    result = CliRunner().invoke(app, ["determine", several, str(wrong), "--json"])
    assert result.exit_code == 1 and f"{wrong}: a damaged zip archive" in result.stderr
    first, second, third = json.loads(result.stdout)
    assert (first["file"], second["file"], third["file"]) == (several, f"{several} [2 of 2]", str(wrong))
    assert first["wavelength"] == second["wavelength"] == files.KA1 and third["error"]
    assert first["crystal_system"] and second["crystal_system"] and first["error"] is second["error"] is None


def test_index_gives_one_entry_a_scan(several: str) -> None:
    result = CliRunner().invoke(app, ["index", several, "--json", "--budget", "5"])
    assert result.exit_code == 0
    first, second = json.loads(result.stdout)
    assert (first["file"], second["file"]) == (several, f"{several} [2 of 2]")
    assert first["cells"] and second["cells"]
    assert first["cells"][0]["a"] == pytest.approx(5.64, abs=0.01) == second["cells"][0]["a"]

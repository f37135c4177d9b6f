"""Files that are whole or not there, and journals that a crash cuts off."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from syngony.errors import InputError, OutputError, SyngonyError
from syngony.journal import Journal
from syngony.whole_files import PARTIAL, whole_file, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and partial.name.startswith(".")
    assert path.read_text() == "new" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), KeyError("x")]
)
def test_what_breaks_leaves_the_last_good_file(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught, whole_file(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]
    if expected is OutputError:
        assert isinstance(caught.value, SyngonyError) and "No space left" in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_really_full(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with (
        pytest.raises(OutputError, match=r"a\.txt: cannot be written \(No space left on device\)"),
        whole_file(path) as p,
    ):
        p.symlink_to("/dev/full")
        p.write_text("x" * 100_000)
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="dead writers are told by their numbers on POSIX alone")
def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path):
    path = tmp_path / "a.txt"
    code = (
        "import os, signal, sys\n"
        "from syngony.whole_files import whole_file\n"
        "with whole_file(sys.argv[1]) as partial:\n"
        "    partial.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    (left,) = names(tmp_path)
    assert left.endswith(PARTIAL)
    living = tmp_path / left.replace(left.split("-")[-1], f"{os.getppid()}{PARTIAL}")
    living.write_text("of a process that runs")
    write_text(path, "new")
    assert names(tmp_path) == sorted([living.name, "a.txt"])


def test_a_journal_goes_on_after_its_last_whole_line(tmp_path):
    path = tmp_path / "work.journal"
    journal = Journal(path, {"seed": 1})
    for number in range(3):
        assert journal.add({"n": number, "text": "ä" * number}) == number
    journal.close()
    whole = path.read_bytes()
    for cut in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        path.write_bytes(whole[:cut])
        again = Journal(path, {"seed": 1})
        kept = [entry["n"] for entry in again]
        assert kept == list(range(whole[:cut].count(b"\n") - 1))
        for number in range(len(kept), 3):
            again.add({"n": number, "text": "ä" * number})
        assert again[2] == {"n": 2, "text": "ää"}
        again.close()
        assert path.read_bytes() == whole
    empty = tmp_path / "empty.journal"
    Journal(empty, {"seed": 1}).close()
    Journal(empty, {"seed": 2}).close()  # nothing was done: nothing is lost
    assert empty.read_text() == '{"seed": 2}\n'
    empty.write_text("")
    Journal(empty, {"seed": 3}).close()
    assert empty.read_text() == '{"seed": 3}\n'
    with pytest.raises(InputError, match=r"work\.journal is of another run \(seed differs\)"):
        Journal(path, {"seed": 2})
    path.write_text("not a journal\n")
    with pytest.raises(InputError, match="does not begin as a journal does"):
        Journal(path, {"seed": 1})


def test_a_journal_has_one_writer(tmp_path):
    pytest.importorskip("fcntl", reason="this system has no locks of files")
    journal = Journal(tmp_path / "work.journal", {})
    with pytest.raises(InputError, match="another process is writing there"):
        Journal(tmp_path / "work.journal", {})
    journal.close()
    Journal(tmp_path / "work.journal", {}).close(remove=True)
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_journal_on_a_full_disk_keeps_what_it_has(tmp_path, monkeypatch):
    path = tmp_path / "work.journal"
    journal = Journal(path, {})
    journal.add({"n": 0})
    with monkeypatch.context() as patch, Path("/dev/full").open("r+b", buffering=0) as full:
        patch.setattr(journal, "_file", full)
        with pytest.raises(OutputError, match="No space left on device. What was done stays"):
            journal.add({"n": 1})
    journal.add({"n": 2})
    assert [entry["n"] for entry in journal] == [0, 2]
    journal.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{}, {"n": 0}, {"n": 2}]

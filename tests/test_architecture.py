"""The rule of ARCHITECTURE.md: a room imports only from rooms above it in the table."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "syngony"

LEVELS = {
    room: int(level)
    for level, rooms in re.findall(r"^\| (\d) \| ([^|]+) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    for room in re.findall(r"`([a-z_]+)`", rooms)
}


def room_of(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Rooms of syngony that a file imports, anywhere in it; imports for type checking alone are not counted."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports in full"
            names = [node.module]
            if node.module == "syngony":
                names = [f"syngony.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("syngony.")}
    return {name for name in found if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or not p.name.startswith("__"))


def test_the_table_names_every_room():
    rooms = {room_of(p.relative_to(PACKAGE).parts) for p in FILES}
    assert rooms == set(LEVELS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_above_it(path):
    room = room_of(path.relative_to(PACKAGE).parts)
    wrong = {other for other in imports(path) - {room} if LEVELS[other] >= LEVELS[room]}
    assert not wrong, f"{room} (level {LEVELS[room]}) imports {wrong}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_short_and_nothing_unpickles(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert not re.search(r"\bpickle\b(?!s?[ .,;:)])|import pickle|allow_pickle=True", text)
    for call in re.findall(r"torch\.load\([^)]*\)", text):
        assert "weights_only=True" in call
    assert not re.search(r"(?<![\w.])/(?:home|root|work|Users)/", text), "a path of somebody's machine"


def test_the_command_line_starts_without_anything_heavy():
    code = (
        "import sys, syngony.cli\n"
        "heavy = {'torch', 'numpy', 'scipy', 'numba', 'onnxruntime', 'pyarrow', 'matplotlib', 'gemmi', 'spglib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_determining_needs_no_extra():
    code = (
        "import sys\n"
        "extras = {'torch', 'pyarrow', 'matplotlib', 'lightning', 'transformers', 'pymatgen', 'onnx', 'pandas'}\n"
        "extras |= {'sklearn'}\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in extras:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import syngony\n"
        f"p = syngony.read_pattern({str(ROOT / 'examples' / 'rutile.xy')!r})\n"
        "print(syngony.determine(p).crystal_system)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "tetragonal"

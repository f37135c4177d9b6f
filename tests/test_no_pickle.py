"""Nothing that is loaded can run code: no pickle, in any of its clothes, anywhere in the repository."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for folder in ("src", "benchmarks", "scripts", "tests") for path in (ROOT / folder).rglob("*.py"))

MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
LOADERS = {"read_pickle", "to_pickle", "load_from_checkpoint", "unsafe_load", "full_load"}
"""Methods, whoever they belong to."""


def faults(source: str) -> list[str]:
    """What in a program loads pickles, or could: ``line: what``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: import {name}" for name in names if name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in ("eval", "exec") or called.rpartition(".")[2] in LOADERS:
                found.append(f"{node.lineno}: {called}")
            if called in ("torch.load", "torch.jit.load") and given.get("weights_only") != "True":
                found.append(f"{node.lineno}: {called} without weights_only=True")
            if called.endswith("trainer.fit") and "ckpt_path" in given and given.get("weights_only") != "True":
                found.append(f"{node.lineno}: a checkpoint without weights_only=True")
            if given.get("allow_pickle", "False") != "False":
                found.append(f"{node.lineno}: allow_pickle")
            if called == "yaml.load":
                found.append(f"{node.lineno}: yaml.load, not safe_load")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from joblib import load", "import cloudpickle.compat as c", "torch.load(path)",
        "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=yes)",
        "pd.read_pickle(path)", "eval(text)", "yaml.load(text)", "Classifier.load_from_checkpoint(path)",
        "trainer.fit(model, ckpt_path=path)",
    ],
)  # fmt: skip
def test_faults_are_found(line: str) -> None:
    assert len(faults(line)) == 1


def test_what_is_allowed_passes() -> None:
    assert faults("np.load(path, allow_pickle=False)\ntorch.load(path, weights_only=True)\nmodel.eval()") == []

"""Long commands under SIGKILL at random moments, as benchmarks/interruptions.py does it twenty times over.

`simulate` and `train` are killed in test_simulation_interruptions.py and test_learning_processes.py; what a kill
leaves of an evaluation is gone through in test_evaluation.py and test_whole_files.py.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="tables need the 'data' extra")

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "interruptions.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="this system has no SIGKILL"),
]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("interruptions", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def inputs(benchmark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    benchmark.make_inputs(folder, scans=12)
    return folder


@pytest.mark.parametrize("what", ["fetch", "determine"])
def test_killed_twice_and_run_to_the_end_it_is_as_undisturbed(benchmark, inputs, tmp_path, what):
    size, workers = (1.0, 2) if what == "fetch" else (0.4, 1)  # a fetch shows that workers end with their parent
    command = benchmark.commands(inputs, size, workers)[what]
    killed, ends, _ = benchmark.interrupt(command, tmp_path, kills=2, earliest=0.4)
    assert killed == 2 and ends >= 1


def test_what_differs_or_stays_behind_is_noticed(benchmark, tmp_path):
    code = "import os, pathlib, sys; f = pathlib.Path(sys.argv[1]); (f / 'a').write_text(str(os.getpid()))"

    class Script(benchmark.Command):
        def line(self, folder, _):
            return [sys.executable, "-c", code, str(folder)]

    with pytest.raises(SystemExit, match="another result than undisturbed"):
        benchmark.interrupt(Script(None, lambda f: (f / "a").read_text()), tmp_path / "differs", 1, 0.0)
    code += "; (f / '.b.partial').touch()"
    with pytest.raises(SystemExit, match=r"left behind: \.b\.partial"):
        benchmark.interrupt(Script(None, lambda f: (f / "a").exists()), tmp_path / "leaves", 1, 0.0)

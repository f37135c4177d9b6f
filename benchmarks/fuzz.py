"""Mutated files for everything that reads files of strangers: none may raise anything but an error of Syngony's own.

    python benchmarks/fuzz.py runs/fuzz --files 100000        # goes on where it was; the table at its end
    python benchmarks/fuzz.py runs/fuzz --target xrdml --show 4711 > scan.xrdml
    python benchmarks/fuzz.py runs/fuzz --target xrdml --atheris 600
    python benchmarks/fuzz.py runs/fuzz --largest             # time and memory of files as large as they are read

Kinds of file, the whole files to start from and the mutations are those of the tests (`tests/hostile_targets.py`).
A mutated file is a function of its kind and number, so that findings are numbers. Each kind is read in a process of
its own that may take 512 MB more than it had when it had read the whole files; a file may take 2 s of processor time.
A process that dies or stands still is a finding, and another goes on behind that file. With `--atheris` libFuzzer
chooses the files by what code they reach (pip install atheris); it stops at its first finding.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import resource
import signal
import subprocess
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

SECONDS = 2.0
"""Of processor time, for one file."""
MEGABYTES = 512
"""Beyond what the process had before the first file."""
STILL = 120.0  # seconds without a new file after which a process is ended
MOST_DEATHS = 20  # of one kind of file, after which its other files wait
SAVED_EVERY = 500  # files


class TooLong(BaseException):
    """A file took more than `SECONDS`; no reader catches it."""


def run(name: str, folder: Path, files: int) -> None:
    """Read the files of one kind from where its state says on; the state and findings are kept in the folder."""
    from hostile_targets import TARGETS, refused

    target = TARGETS[name]
    state = load(folder, name)
    for seed in target.seeds():
        assert not refused(target, seed), f"{name}: a whole file is refused"
    refused(target, target.file(0))
    base = used_megabytes()
    limit = int((status_of("VmData") + MEGABYTES) * 1024 * 1024)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    signal.signal(signal.SIGPROF, stop)
    place = progress(folder, name)
    began = time.process_time()
    for number in range(state["files"], files):
        place[:8] = number.to_bytes(8, "little")
        content = target.file(number)
        one = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            state["refused"] += refused(target, content)
        except (Exception, TooLong) as error:
            signal.setitimer(signal.ITIMER_PROF, 0)
            frames = traceback.extract_tb(error.__traceback__)
            inside = next((f for f in reversed(frames) if "syngony" in f.filename), frames[-1])
            found(state, number, f"{type(error).__name__}: {error} ({Path(inside.filename).name}:{inside.lineno})")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        took = time.process_time() - one
        state["slowest"] = max(state["slowest"], took)
        if took > SECONDS:
            found(state, number, f"took {took:.1f} s")
        if (number + 1) % SAVED_EVERY == 0 or number + 1 == files:
            state["seconds"] += time.process_time() - began
            began = time.process_time()
            state["files"] = number + 1
            state["megabytes"] = max(state["megabytes"], used_megabytes() - base)
            save(folder, name, state)


def stop(*_: object) -> None:
    raise TooLong(f"more than {SECONDS:g} s")


def used_megabytes() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def found(state: dict[str, Any], number: int, what: str) -> None:
    """Keep a finding; of the same words the first ten."""
    state["findings"].append([number, what[:300]])


def load(folder: Path, name: str) -> dict[str, Any]:
    """What is known of a kind of file so far."""
    path = folder / f"{name}.json"
    if path.is_file():
        return json.loads(path.read_text())
    return {"files": 0, "refused": 0, "slowest": 0.0, "megabytes": 0.0, "seconds": 0.0, "findings": []}


def save(folder: Path, name: str, state: dict[str, Any]) -> None:
    """Keep it, whole or not at all."""
    partial = folder / f"{name}.partial"
    partial.write_text(json.dumps(state))
    partial.replace(folder / f"{name}.json")


def progress(folder: Path, name: str) -> mmap.mmap:
    """Eight bytes shared with the process that watches: the number of the file in hand."""
    path = folder / f"{name}.place"
    path.write_bytes(bytes(8)) if not path.is_file() else None
    with path.open("r+b") as stream:
        return mmap.mmap(stream.fileno(), 8)


def watch(name: str, folder: Path, files: int) -> dict[str, Any]:
    """Have a process read the files of one kind; end it and go on behind the file where it dies or stands still."""
    place = progress(folder, name)
    deaths = 0
    while (state := load(folder, name))["files"] < files and deaths < MOST_DEATHS:
        command = [
            sys.executable,
            str(Path(__file__)),
            str(folder),
            "--files",
            str(files),
            "--target",
            name,
            "--inside",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            last, since = b"", time.monotonic()
            while process.poll() is None:
                time.sleep(0.2)
                if place[:8] != last:
                    last, since = place[:8], time.monotonic()
                elif time.monotonic() - since > STILL:
                    process.kill()
            said = process.stderr.read() if process.stderr else ""
        if process.returncode == 0:
            continue
        deaths += 1
        number = int.from_bytes(place[:8], "little")
        state = load(folder, name)
        if number < state["files"]:
            sys.exit(f"{name}: cannot start\n{said}")
        last_words = (said.strip().splitlines() or [""])[-1]
        found(state, number, f"the process ended with {process.returncode}: {last_words}")
        state["files"] = number + 1  # what lies between the last state and this file is not counted as refused
        save(folder, name, state)
    return state


def table(folder: Path, names: list[str]) -> str:
    """What became of the files, as Markdown."""
    lines = [
        "| kind of file | mutated files | refused | read | findings | slowest, s | memory, MB | files a second |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        s = load(folder, name)
        if s["files"]:
            read, rate = s["files"] - s["refused"] - len(s["findings"]), s["files"] / max(s["seconds"], 1e-9)
            lines.append(
                f"| {name} | {s['files']:,} | {s['refused']:,} | {read:,} | {len(s['findings'])} | {s['slowest']:.2f} "
                f"| {s['megabytes']:.0f} | {rate:,.0f} |"
            )
    for name in names:
        first = {what.partition(" at ")[0][:120]: number for number, what in reversed(load(folder, name)["findings"])}
        lines += [f"{name} {number}: {what}" for what, number in first.items()]
    versions = ", ".join(f"{one} {version(one)}" for one in ("numpy", "geddes", "gemmi", "spglib", "pyarrow"))
    made = f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}, {versions}"
    return "\n".join([*lines, "", made])


def largest(words: list[str]) -> None:
    """Time and memory of the largest files that are read, each in a process of its own."""
    from largest_files import CASES

    from syngony.errors import SyngonyError
    from syngony.readers.signatures import read_scans

    print("| file | MB | processor s | memory, MB | |\n|---|---|---|---|---|", flush=True)
    for name, make in CASES.items():
        if words and not any(word in name for word in words):
            continue
        if child := os.fork():
            if status := os.waitpid(child, 0)[1]:
                print(f"| {name} | | | | **the process ended with {status}** |", flush=True)
            continue
        content = make()
        Path("/proc/self/clear_refs").write_text("5")  # the most memory is counted from here
        held = status_of("VmRSS")
        signal.setitimer(signal.ITIMER_PROF, 10 * SECONDS)
        began = time.process_time()
        try:
            said = f"read: {len(read_scans(content))}"
        except SyngonyError as error:
            said = str(error)[:60]
        took, more = time.process_time() - began, status_of("VmHWM") - held
        late = " (too much)" if took > SECONDS or more > MEGABYTES else ""
        print(f"| {name} | {len(content) / 1e6:.1f} | {took:.2f} | {more:.0f} | {said}{late} |", flush=True)
        os._exit(0)


def status_of(name: str) -> float:
    """A figure of this process's memory, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def guided(name: str, folder: Path, seconds: int) -> None:
    """libFuzzer on one kind of file; what it learns is kept in the folder."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris, or leave --atheris out")
    with atheris.instrument_imports(include=["syngony"]):
        from hostile_targets import TARGETS, refused

        refused(TARGETS[name], TARGETS[name].seeds()[0])  # what is imported late is instrumented too
    corpus = folder / f"{name}.corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"whole-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={int(SECONDS)}",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], lambda content: refused(TARGETS[name], content))
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="where states are kept; the same again goes on")
    parser.add_argument("--files", type=int, default=1000, help="of each kind")
    parser.add_argument("--target", action="append", help="a kind of file; all when omitted")
    parser.add_argument("--show", type=int, help="write a mutated file by its number instead")
    parser.add_argument("--atheris", type=int, metavar="SECONDS", help="let libFuzzer choose the files")
    parser.add_argument("--largest", nargs="*", metavar="WORD", help="time and memory of the largest files instead")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    from hostile_targets import TARGETS

    names = arguments.target or list(TARGETS)
    if arguments.inside:
        run(names[0], arguments.folder, arguments.files)
    elif arguments.largest is not None:
        largest(arguments.largest)
    elif arguments.show is not None:
        sys.stdout.buffer.write(TARGETS[names[0]].file(arguments.show))
    elif arguments.atheris:
        guided(names[0], arguments.folder, arguments.atheris)
    else:
        for name in names:
            watch(name, arguments.folder, arguments.files)
            print(table(arguments.folder, [name]).splitlines()[2], file=sys.stderr, flush=True)
        print(table(arguments.folder, names))


if __name__ == "__main__":
    main()

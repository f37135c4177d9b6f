"""The table at the end of docs/formats.md: which of a folder of instrument files are read, and why the others are not.

    python benchmarks/formats.py ../shared/data/formats

The folder holds `index.csv` with the columns file, kind ("powder scan" or "odd...") and what is expected.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from syngony.errors import PatternError, WavelengthError
from syngony.readers import read_pattern


def outcome(path: Path) -> tuple[str, str]:
    """ "wavelength", "read" (the user must say it) or "refused", and the reason."""
    try:
        read_pattern(path)
        return "wavelength", ""
    except WavelengthError:
        pass
    except PatternError as error:
        return "refused", str(error)
    read_pattern(path, "CuKa")
    return "read", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    reasons = []
    with (folder / "index.csv").open() as stream:
        for entry in csv.DictReader(stream):
            kind = entry["file"].split("/")[0]
            powder = entry["kind"] == "powder scan"
            found, reason = outcome(folder / entry["file"])
            counts[kind]["powder" if powder else "odd"] += 1
            counts[kind][f"{'powder' if powder else 'odd'} {found}"] += 1
            if reason:
                reasons.append((entry["file"], "powder scan" if powder else "odd", reason))
    total: dict[str, int] = defaultdict(int)
    print("| folder | powder scans | read | of these with a wavelength | others | refused |")
    print("|---|---|---|---|---|---|")
    for kind in [*sorted(counts), "all"]:
        row = counts[kind] if kind != "all" else total
        read = row["powder wavelength"] + row["powder read"]
        print(
            f"| {kind} | {row['powder']} | {read} | {row['powder wavelength']} | {row['odd']} | {row['odd refused']} |"
        )
        for key, value in list(row.items()):
            total[key] += value if kind != "all" else 0
    for name, kind, reason in reasons:
        print(f"\n{name} ({kind}): {reason}")


if __name__ == "__main__":
    main()

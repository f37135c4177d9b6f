"""The pictures of docs/images: page and report of the example scans, in Debian's Chromium.

    python scripts/screenshots.py [NAME ...]

Needs the extra `dev` and `apt-get install chromium`. Only the simulated scans of `examples` are shown.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
SYNGONY = [sys.executable, "-c", "from syngony.cli import main; main()"]
PATIENCE = 600_000  # ms: the machine may be busy
COLOURS = 255


@contextmanager
def served() -> Iterator[str]:
    """The address of a page."""
    command = [*SYNGONY, "serve", "--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None, "syngony serve did not start"
        try:
            yield found.group()
        finally:
            server.send_signal(signal.SIGINT)


def mixture(path: Path) -> Path:
    """Two example scans added, as if half of the sample were the one and half the other."""
    scans = [np.loadtxt(ROOT / "examples" / f"{name}.xy") for name in ("rutile", "quartz")]
    np.savetxt(path, np.column_stack([scans[0][:, 0], scans[0][:, 1] + scans[1][:, 1]]), fmt="%.3f %.0f")
    return path


def report(scan: Path, folder: Path) -> str:
    """Address of the report of a scan, which it names as somebody in its folder does."""
    out = folder / f"{scan.stem}.html"
    command = [*SYNGONY, "determine", scan.name, "-w", "CuKa", "--report", str(out)]
    subprocess.run(command, check=True, capture_output=True, cwd=scan.parent)
    return out.as_uri()


def drawn(page: Any) -> None:
    """Wait until the picture is there, and for its lines."""
    page.wait_for_selector(".plot .main-svg", timeout=PATIENCE)
    page.wait_for_timeout(1500)


def save(name: str, png: bytes) -> None:
    """Write a picture in few colours, small enough for a repository."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    IMAGES.mkdir(exist_ok=True)
    picture.save(IMAGES / f"{name}.png", optimize=True)
    print(f"{name}.png: {(IMAGES / f'{name}.png').stat().st_size / 1000:.0f} kB, {picture.width} x {picture.height}")


def page_with(files: list[str], width: int, height: int) -> Callable[[Any, Path], bytes]:
    """A picture of the page after files were chosen."""

    def take(browser: Any, _: Path) -> bytes:
        with served() as address:
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=1)
            page.goto(address)
            page.set_input_files("#files", [ROOT / "examples" / name for name in files])
            drawn(page)
            count = len(files)
            while page.locator("#table tbody tr th button").count() < count:
                page.wait_for_timeout(200)
            return page.screenshot()

    return take


def report_of(made: Callable[[Path], Path], height: int) -> Callable[[Any, Path], bytes]:
    """A picture of the head of a report."""

    def take(browser: Any, folder: Path) -> bytes:
        page = browser.new_page(viewport={"width": 1280, "height": height}, device_scale_factor=1)
        page.goto(report(made(folder), folder))
        drawn(page)
        return page.screenshot()

    return take


PICTURES = {
    "page-desktop": page_with(["quartz.xy"], 1280, 1060),
    "page-phone": page_with(["quartz.xy"], 390, 844),
    "page-many": page_with(["quartz.xy", "halite.xy", "rutile.xy"], 1280, 800),
    "report": report_of(lambda _: ROOT / "examples" / "quartz.xy", 1500),
    "refusal": report_of(lambda folder: mixture(folder / "mixture.xy"), 800),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(PICTURES), metavar="NAME", help=", ".join(PICTURES))
    names = parser.parse_args().names
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in names:
            save(name, PICTURES[name](browser, Path(folder)))
        browser.close()


if __name__ == "__main__":
    main()

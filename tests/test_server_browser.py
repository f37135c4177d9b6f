"""The page in a real browser (Debian's Chromium, headless): a file is dropped, read, and taken away again."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import EXAMPLES
from typer.testing import CliRunner

from syngony.cli import app

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]

WITNESSES = [
    "--model",
    "mobilenetv2",
    "--evidence",
    "network,library",
]  # no time budget: the same answer on a machine that is busy


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [sys.executable, "-c", "from syngony.cli import main; main()", "serve", "--port", "0", "--workers", "1"]
    with subprocess.Popen([*command, *WITNESSES], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        try:
            yield found.group()
        finally:
            server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=30)
    assert server.returncode == 0 and "Traceback" not in err, err


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, address: str) -> Iterator[Any]:
    width, height = request.param
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda found: asked.append(found.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        yield page
        assert not errors
        assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
        browser.close()


def until(page: Any, condition: str, seconds: float = 180.0) -> None:
    """Wait for JavaScript to be true, asked from outside: the page's policy forbids strings that become code."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not within {seconds:g} s: {condition}"
        page.wait_for_timeout(100)


def test_a_file_is_dropped_answered_and_taken_away(page: Any, tmp_path: Path) -> None:
    scan = tmp_path / "bare <b>.xy"
    text = (EXAMPLES / "rutile.xy").read_text()
    scan.write_text("".join(line + "\n" for line in text.splitlines() if not line.startswith("#")))
    # Dropped as a user drops it; a file that is chosen takes the same way from there on.
    dropped = page.evaluate_handle(
        """([name, text]) => {
            const data = new DataTransfer();
            data.items.add(new File([text], name));
            return data;
        }""",
        [scan.name, scan.read_text()],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    page.wait_for_selector("#asking:not([hidden])", timeout=180_000)
    assert "states no wavelength" in page.inner_text("#asking")
    page.click("#choices button:has-text('CuKa 1.54184')")
    page.wait_for_selector("#answer .plot .main-svg", timeout=180_000)
    assert page.inner_text("#answer .verdict").startswith("tetragonal")
    assert page.inner_text("#answer .file") == scan.name and page.query_selector("#answer b") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    with page.expect_download() as download:
        page.click("#take [data-kind=json]")
    taken = json.loads(Path(download.value.path()).read_text())
    told = CliRunner().invoke(app, ["determine", str(scan), "--wavelength", "CuKa", "--json", *WITNESSES])
    (known,) = json.loads(told.stdout)
    assert taken == [{**known, "file": scan.name}]

    page.fill("#high", "60")
    page.press("#high", "Enter")
    until(page, "document.querySelector('#answer').innerText.includes('10 to 60°')")
    page.click("#whole")
    until(page, "document.querySelector('#answer').innerText.includes('10 to 90°')")
    page.fill("#background", "4")
    page.press("#background", "Enter")
    until(page, "document.querySelector('#answer').innerText.includes('wider than 4° was taken off')")
    assert "alone, as asked" not in page.inner_text("#answer")  # the whole scan is no part of it


def test_many_files_are_listed_sorted_and_chosen_by_keyboard(page: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.xy").write_text("nothing")
    page.set_input_files("#files", [EXAMPLES / "rutile.xy", tmp_path / "bad.xy", EXAMPLES / "halite.xy"])
    until(page, "document.querySelector('#state').textContent === '3 files, 1 not determined'")
    names = "[...document.querySelectorAll('#table tbody th')].map((cell) => cell.textContent)"
    assert page.evaluate(names) == ["rutile.xy", "bad.xy", "halite.xy"]
    page.focus("#table thead button >> nth=1")
    page.keyboard.press("Enter")
    assert page.evaluate(names) == ["halite.xy", "rutile.xy", "bad.xy"]
    page.focus("#table tbody button >> nth=0")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#answer .file').textContent === 'halite.xy'")
    assert "no two columns" in page.inner_text("#table")
    with page.expect_download() as download:
        page.click("#take [data-kind=html]")
    assert "2 scans" in Path(download.value.path()).read_text()

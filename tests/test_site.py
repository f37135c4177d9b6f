"""The documentation: every page is there and in the site, and what it tells of the command line is so."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer

from syngony.cli import app
from syngony.report.table import COLUMNS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
COMMAND = typer.main.get_command(app)
OTHERS = {"--quiet", "--no-dev"}  # of pip and its kin


def navigation() -> list[str]:
    return re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)


def commands(command: Any, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command by the words that call it."""
    yield name, command
    for word, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*name, word))


KNOWN = dict(commands(COMMAND))


def calls(text: str) -> Iterator[tuple[tuple[str, ...], list[str], str]]:
    """Calls of syngony in code: the command's words, the options that follow, and the line."""
    code = re.findall(r"```[a-z]*\n(.*?)```|`([^`\n]+)`|^((?:    ).+)$", text, re.DOTALL | re.MULTILINE)
    for line in "\n".join("".join(parts) for parts in code).replace("\\\n", " ").splitlines():
        for call in re.findall(r"(?:^|[\s;$(])syngony ([a-z].*)", line.split("#")[0]):
            words: tuple[str, ...] = ()
            for word in call.split():
                if (*words, word) not in KNOWN:
                    break
                words = (*words, word)
            yield words, re.findall(r"(?<![\w-])--?[a-z][a-z-]*", call), line


def options(command: Any) -> set[str]:
    """Those of a command; of a group, whose command a text may leave open (`data fetch SOURCE`), of all in it."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*(options(sub) for sub in getattr(command, "commands", {}).values()))


def test_the_navigation_names_every_page_once() -> None:
    assert sorted(navigation()) == sorted(path.name for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_in_the_text_exist(page: Path) -> None:
    text = page.read_text()
    for words, said, line in calls(text):
        assert words, f"no such command: {line}"
        missing = set(said) - options(KNOWN[words]) - {"--help", "-h"}
        assert not missing, f"{' '.join(words)} has no {', '.join(sorted(missing))}: {line}"
    every = set.union(*(options(command) for command in KNOWN.values())) | {"--help"} | OTHERS
    for call in re.findall(r"`(--[a-z][a-z-]*)[^`\n]*`", text):
        assert call in every or benchmark_option(call), f"no command has {call}"


def benchmark_option(name: str) -> bool:
    return any(f'"{name}"' in path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))


def test_the_texts_hold_calls_to_look_at() -> None:
    found = {words for page in PAGES for words, _, _ in calls(page.read_text())}
    assert {("determine",), ("serve",), ("library", "build"), ("data", "fetch"), ("train",)} <= found
    assert "--no-such" not in set.union(*(options(command) for command in KNOWN.values()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        url = urlsplit(target)
        if not url.scheme and url.path:
            assert (page.parent / url.path).exists(), f"{page.name}: {target}"


def test_pictures_are_small() -> None:
    pictures = sorted((DOCS / "images").iterdir())
    assert pictures and all(path.stat().st_size < 150_000 for path in pictures)
    said = "".join(page.read_text() for page in PAGES)
    assert not [path.name for path in pictures if f"images/{path.name}" not in said]


def test_columns_of_the_table_that_the_text_names_exist() -> None:
    (said,) = re.findall(r"Columns of the table: (.*?)\.\n", (DOCS / "first-determination.md").read_text(), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", said)) <= set(COLUMNS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: extra docs")
    pytest.importorskip("material", reason="mkdocs-material is not installed: extra docs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


@pytest.mark.slow
def test_a_strict_build_asks_no_other_host(site: Path) -> None:
    for name in navigation():
        text = (site / name).with_suffix(".html").read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*?src=\"?([^\"\s>]+)", text)
        loaded += re.findall(r"<link[^>]*?rel=\"?(?:stylesheet|icon|preconnect|preload)[^>]*?href=\"?([^\"\s>]+)", text)
        assert loaded and not [url for url in loaded if urlsplit(url).netloc], name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text()), sheet
    good = (site / "how-good.html").read_text()
    assert "macro F1" in good and "585 measured scans" in good  # the README's section is in it
    assert "search_lattices" in (site / "python.html").read_text()


@pytest.mark.slow
def test_the_site_in_a_browser(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    asked: list[str] = []
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("request", lambda found: asked.append(found.url))
        for name in ("index.html", "formats.html", "python.html"):
            page.goto((site / name).as_uri(), timeout=180_000)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        browser.close()
    assert asked and not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]

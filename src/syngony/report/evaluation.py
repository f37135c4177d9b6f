"""The report of an evaluation: one HTML page, its figures and its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from syngony.report.figures import draw_confusion_matrix
from syngony.report.page import Page
from syngony.whole_files import write_text


def write_evaluation(report: dict[str, Any], folder: Path | str) -> Path:
    """Write ``report.html``, ``confusion_matrix.png`` and ``evaluation.json`` in a folder.

    Args:
        report: from `syngony.evaluation`.
        folder: made if it is not there.

    Returns:
        The path of the page.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "evaluation.json", json.dumps(report, indent=1) + "\n")
    picture = folder / "confusion_matrix.png"
    draw_confusion_matrix(report["crystal_system"]["confusion_matrix"], picture)
    page = Page(f"{report['model']}: evaluation on {report['n']:,} patterns")
    add_evaluation(page, report, picture)
    page.write(folder / "report.html")
    return folder / "report.html"


def add_evaluation(page: Page, report: dict[str, Any], confusion_picture: Path) -> None:
    """Accuracy, baselines, classes, calibration and the confusion matrix, as parts of a page."""
    system = report["crystal_system"]
    low, high = system["interval"]
    conditions = f" in {report['conditions']} conditions" if report["conditions"] else ""
    page.text(
        f"Crystal system right for {system['accuracy']:.1%} of {report['n']:,} patterns{conditions} "
        f"(95 % interval {low:.1%} to {high:.1%}), macro F1 {system['macro_f1']:.3f}, "
        f"expected calibration error {system['ece']:.3f}."
    )
    group = report["space_group"]
    if group["accuracy"] is not None:
        page.text(f"Space group right for {group['accuracy']:.1%}, in the first five for {group['top5']:.1%}.")
    rows = [("this network", system), *((_learned(name, row), row) for name, row in report["baselines"].items())]
    page.table(
        ("answer", "accuracy", "95 % interval"),
        [(name, f"{r['accuracy']:.1%}", "{:.1%} to {:.1%}".format(*r["interval"])) for name, r in rows],
    )
    page.heading("By crystal system")
    page.table(*class_table(system))
    page.picture(confusion_picture, "Confusion matrix: rows are the true systems.")
    page.heading("Coverage")
    page.table(
        ("most confident", "accuracy"),
        [(f"{row['fraction']:.0%}", f"{row['accuracy']:.1%}") for row in system["coverage"]],
    )


def _learned(name: str, row: dict[str, Any]) -> str:
    """A baseline's name, with what it learned from."""
    return f"{name}, of {row['trained_on']:,} structures" if "trained_on" in row else name


def class_table(system: dict[str, Any]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Header and rows of precision, recall and F1, laid out as in the paper."""
    rows: list[Sequence[str]] = [
        (name, f"{r['precision']:.2f}", f"{r['recall']:.2f}", f"{r['f1']:.2f}", f"{r['support']:,}")
        for name, r in system["per_class"].items()
    ]
    return ("system", "precision", "recall", "F1", "patterns"), rows

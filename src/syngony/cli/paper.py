"""``syngony paper``: the paper's experiment from start to finish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def paper(
    structures: Annotated[Path, typer.Option(help="Structure table (Parquet).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")],
    limit: Annotated[int | None, typer.Option(min=100, help="A random sample of this many.")] = None,
    patterns: Annotated[int, typer.Option(min=64, help="Patterns of the fine-tuning stage.")] = 100_000,
    transfer_patterns: Annotated[int, typer.Option(help="Patterns of the transfer stage.")] = 20_000,
    size: Annotated[int, typer.Option(min=32, help="Pixels a side.")] = 64,
    layout: Annotated[str, typer.Option(help="folded or stripe.")] = "folded",
    colour_map: Annotated[str, typer.Option(help="A colour map of matplotlib, or roots.")] = "viridis",
    step: Annotated[float, typer.Option(help="Degrees of 2θ between points.")] = 0.01,
    sigma: Annotated[float, typer.Option(help="Gaussian filter, grid points.")] = 5.0,
    weights: Annotated[str, typer.Option(help="imagenet, a folder of weights, or none.")] = "imagenet",
    split: Annotated[str, typer.Option(help="formula, or random as in the paper.")] = "formula",
    save_images: Annotated[bool, typer.Option("--save-images", help="Store images by system.")] = False,
    seed: Annotated[int, typer.Option(help="Of sample, split, weights and order.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of torch; 0 leaves it to torch.")] = 0,
) -> None:
    """Run the paper's experiment: counts, patterns, images, MobileNetV2, the table, a report.

    Run again with the same options, an interrupted experiment goes on.
    """
    import sys

    import numpy as np

    from syngony.diffraction.profile import PaperGrid
    from syngony.errors import InputError
    from syngony.views import ImageView

    if layout not in ("folded", "stripe"):
        raise typer.BadParameter("--layout is folded or stripe")
    if split not in ("formula", "random"):
        raise typer.BadParameter("--split is formula or random")
    if step <= 0 or step > 1:
        raise typer.BadParameter("--step is in degrees, above 0 and at most 1")
    try:
        image = ImageView(size=size, layout=layout, colour_map=colour_map)  # type: ignore[arg-type]
        image.coloured(np.zeros(image.view.points, np.float32))  # an unknown colour map is better said now
    except ValueError as error:
        raise InputError(str(error)) from None
    from syngony.report.paper import PaperSettings, run_paper

    settings = PaperSettings(
        limit=limit,
        patterns=patterns,
        transfer_patterns=transfer_patterns,
        image=image,
        grid=PaperGrid(step=step, sigma=sigma),
        weights=None if weights == "none" else weights,
        split=split,  # type: ignore[arg-type]
        seed=seed,
        threads=threads,
        save_images=save_images,
    )
    report = run_paper(structures, output, settings, say=lambda text: print(text, file=sys.stderr))
    system = report["crystal_system"]
    low, high = system["interval"]
    print(
        f"crystal system {system['accuracy']:.1%} ({low:.1%} to {high:.1%}) of {report['n']:,}; "
        f"the paper: 54 %. Report: {output / 'report.html'}"
    )

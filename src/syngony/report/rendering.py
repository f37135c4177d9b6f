"""HTML of determinations, for the report's file and for the page: templates, with every text escaped."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from syngony.extinction_groups import extinction_group_of
from syngony.inference import Network
from syngony.library.file import Library
from syngony.pattern import Pattern
from syngony.reflection_conditions import reflection_conditions
from syngony.report.thumbnail import thumbnail
from syngony.report.wording import RESTS_ON, WITNESSES, cell_text, hkl_text, phase_text, verdict_text
from syngony.symmetry import space_group_symbol

if TYPE_CHECKING:
    from syngony.determination import Determination

_LISTED_GROUPS = 8  # space groups of one extinction group
_WORTH_NAMING = 0.01


@cache
def environment() -> Environment:
    """The templates; autoescape is on for all of them, and a name that is missing is an error."""
    env = Environment(
        loader=PackageLoader("syngony.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        share=share,
        cell_text=_cell_text,
        phase_text=phase_text,
        hkl_text=hkl_text,
        symbols=_symbols,
        conditions=_conditions,
        degrees=lambda value: f"{value:.3f}°",
    )
    return env


def static(name: str) -> str:
    """Text of a file in ``report/static``."""
    return files("syngony.report").joinpath("static", name).read_text(encoding="utf-8")


def share(p: float) -> str:
    """A probability as people read it, with a narrow space that does not break; never 100 % and never 0 %."""
    if p < 0.0005:
        return "<0.1\u202f%"
    if p > 0.9995:
        return ">99.9\u202f%"
    return f"{100 * p:.{0 if 0.1 <= p <= 0.9 else 1}f}\u202f%"


def answer_html(
    result: Determination, pattern: Pattern | None, drawn: str, attribution: Markup | None = None
) -> Markup:
    """The whole of one determination.

    Args:
        result: what was said.
        pattern: the scan, for what its file says of the measurement; None with an error.
        drawn: id of the drawing that belongs to it.
        attribution: what the network looks at (`attribution_html`).
    """
    systems = sorted(result.probabilities.items(), key=lambda item: -item[1])
    text = environment().get_template("answer.html").render(
        r=result,
        drawn=drawn,
        systems=systems,
        witnesses=WITNESSES,
        verdict=verdict_text(result),
        basis=basis_text(result),
        no_cell=_no_cell(result),
        alternatives=alternatives(result),
        facts=[] if pattern is None else facts(pattern),
        attribution=attribution or "",
    )  # fmt: skip
    return Markup(text)


def row_of(result: Determination, pattern: Pattern | None, link: str | None) -> dict[str, Any]:
    """What the table of many scans shows of one."""
    phase = result.known_phases[0] if result.known_phases else None
    named = phase is not None and phase["probability"] >= 0.5
    return {
        "file": result.file,
        "link": link,
        "thumbnail": Markup(thumbnail(pattern.intensity)) if pattern is not None else "",
        "error": result.error,
        "abstained": result.abstained,
        "system": result.crystal_system,
        "probability": result.probability,
        "rests_on": result.rests_on or "",
        "space_group": result.space_groups[0].symbol if result.space_groups else "",
        "cell": _cell_text(result.cells[0]) if result.cells else "",
        "phase": phase_text(phase) if phase is not None and named else "",
    }


def basis_text(result: Determination) -> str:
    """What it rests on and what that means."""
    if result.rests_on is None:
        return ""
    said = (result.basis or "").removeprefix(f"{result.rests_on}: ").removeprefix("impression only: ")
    return f"{said} – {RESTS_ON[result.rests_on]}"


def alternatives(result: Determination) -> list[str]:
    """What else it may be, nearest first: systems, lattices, phases."""
    systems = sorted(result.probabilities.items(), key=lambda item: -item[1])[1:3]
    said = [f"{name}, {share(p)}" for name, p in systems if p >= _WORTH_NAMING]
    for cell in result.cells[1:]:
        if cell["probability"] >= _WORTH_NAMING:
            name = f"{cell['lattice_system']} {cell['centring']}"
            said.append(f"another cell: {name}, {_cell_text(cell)}, {share(cell['probability'])}")
    for phase in result.known_phases[1:]:
        if phase["component"] == 1 and phase["probability"] >= _WORTH_NAMING:
            said.append(f"another phase: {phase_text(phase)}, {share(phase['probability'])}")
    return said[:6]


def facts(pattern: Pattern) -> list[tuple[str, str]]:
    """What is known of the measurement, name and value."""
    found = pattern.measurement
    source = f" (from {found.wavelength_source})" if found is not None and found.wavelength_source else ""
    listed = [
        ("wavelength", f"{pattern.wavelength:g} Å{source}"),
        ("range", f"{pattern.two_theta[0]:g} to {pattern.two_theta[-1]:g}°, {len(pattern):,} points"),
    ]
    if found is not None:
        names = ("sample", "instrument", "date", "anode", "format", "part")
        listed += [(name, str(getattr(found, name))) for name in names if getattr(found, name)]
        if found.count_time:
            listed.append(("count time", f"{found.count_time:g} s a point"))
    return listed


def made_by(network: Network | None, libraries: Sequence[Library]) -> str:
    """Versions and hashes: the line that lets an answer be repeated."""
    import numpy
    import onnxruntime

    import syngony

    both = () if network is None else dict.fromkeys([network, network.for_calculated])
    asked = ", ".join(f"{one.name} (sha256 {one.card['sha256']})" for one in both) or "none"
    known = ", ".join(f"{one.name} ({len(one):,} structures, sha256 {one.header['sha256'][:16]}…)" for one in libraries)
    return (
        f"Syngony {syngony.__version__} · network: {asked} · libraries: {known or 'none'} · "
        f"Python {platform.python_version()}, numpy {numpy.__version__}, onnxruntime {onnxruntime.__version__}"
    )


def _cell_text(cell: dict[str, Any]) -> str:
    """`cell_text` that breaks between parameters alone."""
    return ", ".join(part.replace(" ", "\u00a0") for part in cell_text(cell).split(", "))


def _symbols(numbers: list[int]) -> str:
    listed = ", ".join(space_group_symbol(number) for number in numbers[:_LISTED_GROUPS])
    return listed + (f" and {len(numbers) - _LISTED_GROUPS} more" if len(numbers) > _LISTED_GROUPS else "")


def _conditions(numbers: list[int]) -> str:
    """Reflection conditions of the extinction group of these space groups."""
    said = reflection_conditions(extinction_group_of(numbers[0]))
    return "; ".join(str(condition).replace(" ", "\u00a0") for condition in said) or "nothing is absent"


def _no_cell(result: Determination) -> str:
    if "lattice" not in result.witnesses:
        return "No lattice was searched."
    return "No unit cell explains the lines."

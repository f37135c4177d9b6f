"""A determination as people read it on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syngony.cli.console import print_lines

if TYPE_CHECKING:
    from syngony.determination import Determination

_BAR = 30  # characters of a probability of one
_WORTH_A_BAR = 0.005
_WORTH_NAMING = {1: 0.05, 2: 0.5}  # probability of a known phase: the sample, and a second phase in it
_PHASES = 3


def print_answer(result: Determination, first: bool) -> None:
    """Print one determination, an empty line before it unless it is the first."""
    if not first:
        print()
    print_lines(_lines(result))


def _lines(result: Determination) -> list[tuple[str, str]]:
    """The lines that people read, each with its style."""
    from syngony.report.wording import verdict_text

    verdict = verdict_text(result)
    said = (
        verdict if verdict == "not sure" else f"{verdict}, {result.probability:.0%}",
        "yellow" if result.abstained else "bold green",
    )
    lines = [(f"{result.file}  {result.wavelength:g} Å", "bold"), (f"  {said[0]}", said[1])]
    lines.extend((f"  {reason}", "yellow") for reason in result.reasons)
    lines.append((f"  {result.basis}", ""))
    if result.cells:
        lines.extend(_cell_lines(result.cells[0]))
    if result.space_groups:
        listed = ", ".join(f"{group.symbol} {group.probability:.0%}" for group in result.space_groups[:3])
        lines.append((f"  space group: {listed}", ""))
    if result.extinction_groups:
        listed = ", ".join(f"{group['symbol']} {group['probability']:.0%}" for group in result.extinction_groups[:3])
        lines.append((f"  extinction group: {listed}", ""))
    named = [phase for phase in result.known_phases if phase["probability"] >= _WORTH_NAMING[phase["component"]]][
        :_PHASES
    ]
    for phase in named:
        lines.append((f"  {_phase_line(phase)}", ""))
    width = max(len(name) for name in result.probabilities)
    for name, probability in sorted(result.probabilities.items(), key=lambda item: -item[1]):
        if probability >= _WORTH_A_BAR:
            bar = "█" * round(_BAR * probability)
            lines.append((f"  {name:<{width}}  {probability:6.1%}  {bar}".rstrip(), "dim"))
    lines.extend((f"  {remark}", "yellow") for remark in result.remarks)
    lines.extend((f"  warning: {warning}", "yellow") for warning in result.warnings)
    return lines


def _cell_lines(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """Cell parameters that symmetry leaves free, and how well the cell does."""
    from syngony.report.wording import cell_text

    merit = "" if cell["m20"] is None else f", M20 = {cell['m20']:.0f}"
    return [
        (f"  {cell['lattice_system']} {cell['centring']} cell ({cell['probability']:.0%}): {cell_text(cell)}", ""),
        (f"    {cell['lines_indexed']} of {cell['lines_total']} lines{merit}, V = {cell['volume']:.1f} Å³", ""),
    ]


def _phase_line(phase: dict[str, Any]) -> str:
    from syngony.report.wording import phase_text

    place = "also in it" if phase["component"] > 1 else "known phase"
    return f"{place}: {phase_text(phase)}, {phase['probability']:.0%} [{phase['library']} {phase['id']}]"

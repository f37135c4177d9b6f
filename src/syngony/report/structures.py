"""What a structure table holds: counts and proportions by crystal system, as numbers and as figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from syngony.errors import InputError, MissingExtraError, StructureError, TableError
from syngony.structure import reduced_formula
from syngony.structure_table import TableInfo, read_info, read_table
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart; one colour a system in every figure.
SYSTEM_COLOURS = dict(
    zip(
        CRYSTAL_SYSTEMS,
        ("#999999", "#E69F00", "#56B4E9", "#009E73", "#D9C81E", "#0072B2", "#D55E00"),
        strict=True,
    )
)


@dataclass(frozen=True)
class TableSummary:
    """What a structure table holds.

    Attributes:
        counts: structures of each crystal system, in the order of `CRYSTAL_SYSTEMS`.
        ordered: structures whose sites are all fully occupied.
        formulas: distinct reduced formulas.
        space_groups: distinct space groups.
        elements: distinct elements.
        sites: smallest, median and largest number of listed sites a cell.
        info: source, licence and label tolerance that the table states.
    """

    counts: dict[str, int]
    ordered: int
    formulas: int
    space_groups: int
    elements: int
    sites: tuple[int, float, int]
    info: TableInfo

    @property
    def total(self) -> int:
        """Number of structures."""
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        """The summary as what ``syngony data info --json`` prints."""
        least, median, most = self.sites
        shares = proportions(self.counts)
        return {
            "n": self.total,
            "crystal_systems": {
                system: {"count": count, "proportion": shares[system]} for system, count in self.counts.items()
            },
            "ordered": self.ordered,
            "disordered": self.total - self.ordered,
            "reduced_formulas": self.formulas,
            "space_groups": self.space_groups,
            "elements": self.elements,
            "sites": {"min": least, "median": median, "max": most},
            **asdict(self.info),
        }


def summarise(path: Path | str) -> TableSummary:
    """Counts and statistics of a structure table.

    Raises:
        TableError: not a readable structure table, an empty one, or one with impossible labels or formulas.
    """
    table = read_table(path, ["formula", "space_group_number", "species", "occupancies"])
    if not table.num_rows:
        raise TableError(f"{path} holds no structures: fetch it again")
    numbers = Counter(table["space_group_number"].to_pylist())
    counts = dict.fromkeys(CRYSTAL_SYSTEMS, 0)
    try:
        for number, count in numbers.items():
            counts[crystal_system(number)] += count
        formulas = {reduced_formula(formula) for formula in set(table["formula"].to_pylist())}
    except (TypeError, ValueError, StructureError) as error:
        raise TableError(f"{path}: {error}; make the table again with syngony data fetch") from None
    return TableSummary(
        counts=counts,
        ordered=_ordered(table),
        formulas=len(formulas),
        space_groups=len(numbers),
        elements=len(table["species"].combine_chunks().flatten().unique()),
        sites=_site_numbers(table),
        info=read_info(path),
    )


def proportions(counts: Mapping[str, int]) -> dict[str, float]:
    """Each count over their sum; zeros when the sum is zero."""
    total = sum(counts.values())
    return {name: count / total if total else 0.0 for name, count in counts.items()}


def draw_counts(counts: Mapping[str, int], path: Path | str, title: str = "") -> None:
    """Bar chart of the number of structures of each crystal system (the paper's Figure 2), as PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: the file cannot be written.
    """
    figure = new_figure((7.0, 4.2))
    axes = figure.add_subplot()
    bars = axes.bar(list(counts), list(counts.values()), color=_colours(counts), width=0.75)
    on_white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # keeps grid lines out of the numbers
    axes.bar_label(bars, [f"{count:,}" for count in counts.values()], padding=4, fontsize=9, bbox=on_white)
    axes.set_ylabel("structures")
    axes.set_title(title or f"Structures by crystal system (n = {sum(counts.values()):,})", fontsize=11)
    axes.margins(y=0.12)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="both", length=0, labelsize=9)
    save_figure(figure, path)


def draw_proportions(counts: Mapping[str, int], path: Path | str, title: str = "") -> None:
    """Pie chart of the proportion of each crystal system (the paper's Figure 3), as PNG.

    Args:
        counts: structures of each system.
        path: the file.
        title: replaces the default title.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: the file cannot be written, or all counts are zero.
    """
    if not sum(counts.values()):
        raise InputError("there is nothing to draw: every count is zero")
    figure = new_figure((7.0, 4.2))
    axes = figure.add_subplot()
    wedges, _ = axes.pie(
        list(counts.values()),
        colors=_colours(counts),
        startangle=90,
        counterclock=False,
        wedgeprops={"width": 0.42, "edgecolor": "white", "linewidth": 1.2},
    )
    # Shares stand in the legend: labels on the ring would collide for the rare systems. U+2007 is as
    # wide as a digit, so that the shares line up.
    names = [f"{share:.1%}".rjust(6, "\u2007") + f"   {name}" for name, share in proportions(counts).items()]
    axes.legend(wedges, names, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=10)
    axes.text(0, 0, f"{sum(counts.values()):,}\nstructures", ha="center", va="center", fontsize=11)
    axes.set_title(title or "Proportion of each crystal system", fontsize=11)
    save_figure(figure, path)


def _ordered(table: pa.Table) -> int:
    if "occupancies" not in table.column_names:
        return table.num_rows
    column = table["occupancies"].combine_chunks()
    partly = column.drop_null()
    whole = sum(bool(np.all(np.asarray(row.values) > 1 - 1e-3)) for row in partly)
    return column.null_count + whole


def _site_numbers(table: pa.Table) -> tuple[int, float, int]:
    import pyarrow.compute as pc

    lengths = np.asarray(pc.list_value_length(table["species"]))
    return int(lengths.min()), float(np.median(lengths)), int(lengths.max())


def _colours(counts: Mapping[str, int]) -> list[str]:
    return [SYSTEM_COLOURS.get(name, "#777777") for name in counts]


def new_figure(size: tuple[float, float]) -> Figure:
    try:
        # Figure alone, without pyplot: it draws with Agg and opens no window.
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Drawing figures", "data") from None
    return Figure(figsize=size, layout="constrained")


def save_figure(figure: Figure, path: Path | str) -> None:
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160, format="png")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}): choose another place") from None

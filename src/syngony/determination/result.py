"""What Syngony says of one pattern."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class SpaceGroup:
    """A space group and how likely it is.

    Attributes:
        number: 1..230.
        symbol: Hermann-Mauguin, standard setting.
        probability: 0..1.
    """

    number: int
    symbol: str
    probability: float


@dataclass(frozen=True)
class Determination:
    """What Syngony says of one pattern.

    Attributes:
        file: name of the scan.
        wavelength: Å, None when the scan could not be read.
        error: why there is no answer, else None.
        warnings: what the user should know.
        crystal_system: the likeliest, None with an error.
        probabilities: of the seven systems, summing to 1.
        abstained: True when no system is likely enough to be claimed, or the scan seems not to be of one phase.
        reasons: why it abstained.
        rests_on: ``recognised`` (a known phase), ``proved`` (a cell explains the lines), ``impression`` (the network).
        basis: the same in words: "proved: a tetragonal cell explains 19 of 20 lines".
        remarks: where witnesses disagree, and what powder data cannot tell.
        suspicion: probability that the scan is not of one crystalline phase; None where it was not judged.
        space_groups: the likeliest first.
        extinction_groups: symbol, space_groups, probability; the likeliest first.
        known_phases: fields of `syngony.KnownPhase`, likeliest first; empty where libraries were not asked.
        cells: `syngony.IndexedCell.as_dict`, with ``probability``; empty where no cell explains the lines.
        witnesses: probabilities of the crystal systems by each kind of evidence for itself.
        lines: of the scan: two_theta, intensity, hkl in the first cell.
        model: name of the network.
    """

    file: str
    wavelength: float | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    crystal_system: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    abstained: bool = True
    reasons: tuple[str, ...] = ()
    rests_on: str | None = None
    basis: str | None = None
    remarks: tuple[str, ...] = ()
    suspicion: float | None = None
    space_groups: tuple[SpaceGroup, ...] = ()
    extinction_groups: tuple[dict[str, Any], ...] = ()
    known_phases: tuple[dict[str, Any], ...] = ()
    cells: tuple[dict[str, Any], ...] = ()
    witnesses: dict[str, dict[str, float]] = field(default_factory=dict)
    lines: tuple[dict[str, Any], ...] = ()
    model: str | None = None

    @property
    def probability(self) -> float:
        """Of the crystal system named; 0 with an error."""
        return max(self.probabilities.values(), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}  # `asdict` copies all that is in them
        return {**values, "space_groups": tuple(vars(group) for group in self.space_groups)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Determination:
        """The inverse of `as_dict`, through JSON as well."""
        fixed: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        fixed["space_groups"] = tuple(SpaceGroup(**group) for group in values["space_groups"])
        return cls(**fixed)

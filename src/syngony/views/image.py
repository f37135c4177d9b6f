"""The paper's image of a pattern: a square, coloured by a colour map."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from syngony.errors import InputError, MissingExtraError
from syngony.views.profile import ProfileView, check_size

ROOTS = "roots"
"""Our own colour map: red, green and blue are v, v^(1/2) and v^(1/4), so weak lines stay visible
whatever the strongest one is."""

PLANES = "planes"
"""No colour map: red, green and blue are three successive points, so that an image of size x size
pixels holds three times as many points."""


@dataclass(frozen=True)
class ImageView:
    """A pattern as a square image of three channels, float32 (3, size, size) in [0, 1].

    The paper says that the vector is shown by ``imshow`` as a square and not how. Both readings are
    here: ``folded`` breaks the vector of size x size points into rows like the lines of a page;
    ``stripe`` draws it once across the width, every row the same.

    Attributes:
        size: pixels a side.
        layout: ``folded`` or ``stripe``.
        colour_map: a matplotlib name (``viridis``, ``gray``, ...) or ``roots``.
        axis, two_theta_range, intensity, background: as in `ProfileView`.
    """

    size: int = 64
    layout: Literal["folded", "stripe"] = "folded"
    colour_map: str = "viridis"
    axis: Literal["two_theta", "ln_q"] = "two_theta"
    two_theta_range: tuple[float, float] = (0.0, 90.0)
    intensity: str = "linear"
    background: bool = False
    view: ProfileView = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_size(self.size, 512)
        if self.layout not in ("folded", "stripe") or not isinstance(self.colour_map, str):
            raise ValueError(f"a layout is folded or stripe, not {self.layout!r}; a colour map is a name")
        points = self.size**2 if self.layout == "folded" else self.size
        if self.colour_map == PLANES:
            points *= 3
        view = ProfileView(self.axis, points, self.two_theta_range, self.intensity, self.background)
        object.__setattr__(self, "view", view)
        object.__setattr__(self, "two_theta_range", view.two_theta_range)

    def as_dict(self) -> dict[str, Any]:
        """Settings as plain values, for a model card."""
        settings = asdict(self)
        settings.pop("view")
        return {"kind": "image", **settings, "two_theta_range": list(self.two_theta_range)}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one network input."""
        return (3, self.size, self.size)

    def __call__(self, pattern) -> NDArray[np.float32]:
        """One network input of a `Pattern`: float32 of `shape`."""
        return self.from_scan(pattern.two_theta, pattern.intensity, pattern.wavelength)

    def from_scan(
        self, two_theta: NDArray[np.floating], intensity: NDArray[np.floating], wavelength: float
    ) -> NDArray[np.float32]:
        """`__call__` on bare arrays, as training does."""
        return self.coloured(self.view.profile(two_theta, intensity, wavelength))

    def coloured(self, profile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lay a (points,) profile out as a square and colour it."""
        if self.colour_map == PLANES:
            rows = profile.reshape(-1, self.size, 3)
            return np.ascontiguousarray(np.broadcast_to(np.moveaxis(rows, -1, 0), self.shape))
        if self.layout == "folded":
            square = profile.reshape(self.size, self.size)
        else:
            square = np.broadcast_to(profile, (self.size, self.size))
        if self.colour_map == ROOTS:
            root = np.sqrt(square)
            return np.stack([square, root, np.sqrt(root)])
        levels = np.minimum(square * 256, 255).astype(np.int64)
        return np.moveaxis(_lookup_table(self.colour_map)[levels], -1, 0)


@cache
def _lookup_table(name: str) -> NDArray[np.float32]:
    """(256, 3) red, green, blue of a matplotlib colour map."""
    if name == "gray":  # needs no matplotlib
        return np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[:, None], 3, axis=1)
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError(f"The colour map {name!r}", "data") from None
    try:
        colours = matplotlib.colormaps[name]
    except KeyError:
        raise InputError(f"{name[:40]!a} is no colour map of matplotlib, and not {ROOTS!r}") from None
    return np.asarray(colours(np.linspace(0, 1, 256)), dtype=np.float32)[:, :3]

"""What a network sees of a pattern: a profile on one axis, the paper's image of it, or a list of its lines."""

from syngony.diffraction.profile import PaperGrid
from syngony.views.image import ImageView
from syngony.views.line_list import LineListView
from syngony.views.profile import ProfileView

View = ImageView | LineListView | ProfileView

__all__ = ["ImageView", "LineListView", "ProfileView", "View", "ideal_grid", "view_from_dict"]


def view_from_dict(settings: dict) -> View:
    """The view that a model card describes: the inverse of ``view.as_dict()``.

    Raises:
        KeyError, TypeError, ValueError: no view of this version, or settings that none can have.
    """
    settings = dict(settings)
    kind = settings.pop("kind")
    return {"profile": ProfileView, "image": ImageView, "line_list": LineListView}[kind](**settings)


def ideal_grid(view: View) -> PaperGrid:
    """The paper's grid, made longer where a view looks beyond its end. A list of lines tells where its scan ends."""
    low, high = PaperGrid().two_theta_range
    if not isinstance(view, LineListView):
        high = max(high, view.two_theta_range[1])
    return PaperGrid(two_theta_range=(low, high))

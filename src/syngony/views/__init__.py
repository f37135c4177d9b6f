"""What a network sees of a pattern: a profile on one axis, the paper's image of it, or a list of its lines."""

from syngony.views.image import ImageView
from syngony.views.line_list import LineListView
from syngony.views.profile import ProfileView

View = ImageView | LineListView | ProfileView

__all__ = ["ImageView", "LineListView", "ProfileView", "View", "view_from_dict"]


def view_from_dict(settings: dict) -> View:
    """The view that a model card describes: the inverse of ``view.as_dict()``."""
    settings = dict(settings)
    kind = settings.pop("kind")
    return {"profile": ProfileView, "image": ImageView, "line_list": LineListView}[kind](**settings)

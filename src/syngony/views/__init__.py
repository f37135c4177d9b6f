"""What a network sees of a pattern: a profile on one axis, or the paper's image of it."""

from syngony.views.image import ImageView
from syngony.views.profile import ProfileView

__all__ = ["ImageView", "ProfileView", "view_from_dict"]


def view_from_dict(settings: dict) -> ProfileView | ImageView:
    """The view that a model card describes: the inverse of ``view.as_dict()``."""
    settings = dict(settings)
    kind = settings.pop("kind")
    return {"profile": ProfileView, "image": ImageView}[kind](**settings)

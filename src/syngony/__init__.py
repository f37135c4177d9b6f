"""Syngony determines the crystal system of a material from its powder X-ray diffraction pattern."""

__version__ = "0.1.0"

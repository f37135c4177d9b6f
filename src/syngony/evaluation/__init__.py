"""Syngony against labelled structures or measured patterns: every figure about accuracy."""

from syngony.determination import Witnesses
from syngony.evaluation.answers import Answer, answers
from syngony.evaluation.baselines import TrainingSet
from syngony.evaluation.labelled import Conditions, LabelledPattern, SimulatedPatterns, read_labelled_patterns
from syngony.evaluation.report import evaluate_patterns, evaluate_structures

__all__ = [
    "Answer",
    "Conditions",
    "LabelledPattern",
    "SimulatedPatterns",
    "TrainingSet",
    "Witnesses",
    "answers",
    "evaluate_patterns",
    "evaluate_structures",
    "read_labelled_patterns",
]

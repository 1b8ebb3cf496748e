"""Faulty training programs, their repairs, and sound programs. One module per family of findings, and `sound`."""

from . import course, output, rate, sound, start, structure, timing, training_data
from .registry import PROGRAMS

__all__ = ["PROGRAMS", "course", "output", "rate", "sound", "start", "structure", "timing", "training_data"]

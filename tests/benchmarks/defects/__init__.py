"""Data sets with planted defects, and sound ones. `table` lists them; a planting function makes each defect."""

from .registry import Planted, Scenario
from .table import SCENARIOS

__all__ = ["SCENARIOS", "Planted", "Scenario"]

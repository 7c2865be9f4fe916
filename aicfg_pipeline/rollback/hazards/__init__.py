"""Hazards: what the plan looks for, one file a subject. Each has a code, what was found and what to do.

Finding never changes anything. Whether a hazard stops a run is decided in `plan`.
"""

from aicfg_pipeline.rollback.hazards.gather import Job, find_hazards
from aicfg_pipeline.rollback.hazards.hazard import ACCEPTABLE, CODES, Hazard, Subject

__all__ = ["ACCEPTABLE", "CODES", "Hazard", "Job", "Subject", "find_hazards"]

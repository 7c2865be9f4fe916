"""Evidence: what one rollback, undo or drop did, as one HTML page for people and the same facts as JSON.

The engine's steps write the ledger; this package reads it, with the checks, into an `Evidence`, and writes that to a
folder. It never asks a database anything, and what makes a run succeed or fail is not decided here.
"""

from aicfg_pipeline.evidence.against import Finding, PairNow, compare_with
from aicfg_pipeline.evidence.facts import Evidence
from aicfg_pipeline.evidence.gather import Known, gather
from aicfg_pipeline.evidence.render import html
from aicfg_pipeline.evidence.write import parse, read, write

__all__ = ["Evidence", "Finding", "Known", "PairNow", "compare_with", "gather", "html", "parse", "read", "write"]

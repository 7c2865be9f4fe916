"""The published JSON schema of the evidence, generated from the model.

`python -m aicfg_pipeline.evidence.schema > docs/evidence.schema.json` brings the published file up to date.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from aicfg_pipeline.evidence.facts import FORMAT_VERSION, Evidence


def schema() -> dict[str, Any]:
    """Return the schema that every written JSON file follows."""
    made = Evidence.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:aicfg-pipeline:evidence:{FORMAT_VERSION}",
        **made,
        "title": "Evidence of a rollback, an undo or a drop",
    }


def text() -> str:
    """Return the schema as the published file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())

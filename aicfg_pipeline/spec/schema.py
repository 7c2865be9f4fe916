"""The published JSON schema of migration.yaml, generated from its model: editors complete and check the file by it.

`python -m aicfg_pipeline.spec.schema > docs/migration.schema.json` brings the published file up to date.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from aicfg_pipeline.spec.said import MigrationFile


def schema() -> dict[str, Any]:
    """Return the schema: the model's, with what only the file knows (short pairs, one name where a list may stand)."""
    made = MigrationFile.model_json_schema(by_alias=True)
    parts = made["$defs"]
    pair = parts["PairFile"]
    for name in ("key", "keep"):
        pair["properties"][name] = {"anyOf": [{"type": "string", "minLength": 1}, pair["properties"][name]]}
    without_old = {k: v for k, v in pair["properties"].items() if k != "old"}
    parts["PairOfOld"] = {**pair, "title": "PairOfOld", "properties": without_old, "required": ["new"]}
    pairs = made["properties"]["pairs"]
    text = pairs.pop("description")
    short = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/PairOfOld"}]},
    }
    made["properties"]["pairs"] = {"description": text, "anyOf": [pairs, short]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:aicfg-pipeline:migration",
        **made,
        "title": "A migration that renamed tables",
    }


def text() -> str:
    """Return the schema as the published file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())

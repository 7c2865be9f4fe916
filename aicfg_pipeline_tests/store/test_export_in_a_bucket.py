"""A parked table's export in a bucket is loaded again by its manifest, fetched by another client than the one that wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.tables.export import export_table
from aicfg_pipeline.store.kept import Store
from aicfg_pipeline_tests.rollback.tables.test_export import loaded_table, rows, run_as_printed
from aicfg_pipeline_tests.store.conftest import BUCKET
from aicfg_pipeline_tests.tools.servers import Database


def test_an_export_in_a_bucket_is_loaded_again_by_its_manifest(
    empty_database: Database, bucket: Store, s3: Any, tmp_path: Path
) -> None:
    empty_database.query("CREATE SCHEMA shop")
    empty_database.query("CREATE TABLE shop.things AS SELECT i, repeat(i::text, 50) FROM generate_series(1, 1000) AS i")
    session = connect(empty_database.url)
    try:
        relation = catalog.relations(session, [("shop", "things")])["shop", "things"]
        export = export_table(session, relation, bucket, "things", "test-run")
    finally:
        session.close()
    for kept in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        s3.download_file(BUCKET, kept["Key"], str(tmp_path / kept["Key"].rsplit("/", 1)[1]))
    manifest = json.loads((tmp_path / export.manifest.rsplit("/", 1)[1]).read_text(encoding="utf-8"))
    done = run_as_printed(manifest["load_again"], tmp_path, empty_database)
    assert done.returncode == 0, done.stderr
    assert rows(empty_database, loaded_table(empty_database)) == rows(empty_database, "shop.things")
    assert export.file.startswith(f"s3://{BUCKET}/some/exports/things-")

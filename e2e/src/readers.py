"""Prints, as JSON, what DuckDB and Polars find in every Delta table below a folder.

Each table: its rows as DuckDB counts them, as DuckDB reads them, as Polars counts them; and a digest of all values.
With a query as second argument: the rows of its answer by DuckDB, bytes as hexadecimal digits.
"""

import hashlib
import json
import pathlib
import sys

import duckdb
import duckdb_extension_delta
import polars

database = duckdb.connect()
database.execute("SET enable_progress_bar = false")
version = database.sql("PRAGMA version").fetchone()[0]
package = pathlib.Path(duckdb_extension_delta.__file__).parent
database.execute(f"LOAD '{package}/extensions/{version}/delta.duckdb_extension'")

tables = [log.parent for log in sorted(pathlib.Path(sys.argv[1]).glob("*/_delta_log"))]
for table in tables:
    database.execute(f"CREATE VIEW {table.name} AS SELECT * FROM delta_scan('{table}')")


def content(table):
    counted = database.sql(f"SELECT count(*) FROM {table.name}").fetchone()[0]
    rows = database.sql(f"SELECT * FROM {table.name} ORDER BY ALL").fetchall()
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode())
    scanned = polars.scan_delta(str(table)).select(polars.len()).collect().item()
    return {"rows": [counted, len(rows), scanned], "digest": digest.hexdigest()}


if len(sys.argv) > 2:
    answer = database.sql(sys.argv[2])
    rows = [dict(zip(answer.columns, row)) for row in answer.fetchall()]
    print(json.dumps(rows, default=bytes.hex))
else:
    print(json.dumps({table.name: content(table) for table in tables}))

"""DuckDB's own COPY, with the types of the columns given, and JSON where they are free-form."""

import sys

import duckdb
import shape

LEAVES = {
    "string": "VARCHAR", "json": "JSON", "int64": "BIGINT", "time": "BIGINT", "double": "DOUBLE",
    "bool": "BOOLEAN", "string_list": "VARCHAR[]",
}


def struct(fields):
    return "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in fields.items()) + ")"


columns = {
    key: shape.render(below, LEAVES, struct, lambda item: f"{item}[]")
    for key, below in shape.of_record().items()
}
source, out = sys.argv[1:]
duckdb.sql("set threads = 2")
duckdb.sql(
    f"""
    copy (
        select *, epoch_ms("timestamp")::date as event_date
        from read_json('{source}', format = 'newline_delimited', columns = {columns})
    ) to '{out}' (format parquet, partition_by (event_date), compression zstd, compression_level 1)
    """
)

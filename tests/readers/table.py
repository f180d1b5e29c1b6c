"""Reads a lake by its Delta table, with one engine: `table.py ENGINE LAKE`.

Prints one JSON list a row: activity_id, event_date, timestamp in milliseconds. Each engine is a process
of its own: some of them do not live together. `table.py files LAKE` prints the paths of its files, and
`table.py writes LAKE` what another program refuses to write.
"""

import json
import os
import sys

SQL = "SELECT activity_id, CAST(event_date AS VARCHAR) AS day, {millis} AS ms FROM {table}"


def duckdb(lake):
    import duckdb
    from duckdb_extensions import import_extension

    import_extension("delta")
    base = duckdb.connect()
    base.execute("LOAD delta")
    return base.execute(SQL.format(millis="epoch_ms(timestamp)", table=f"delta_scan('{lake}')")).fetchall()


def rows_of(table):
    """Rows of a pyarrow table with the three columns."""
    import pyarrow as pa

    columns = [
        table["activity_id"].cast(pa.string()).to_pylist(),
        table["event_date"].cast(pa.string()).to_pylist(),
        [ms for ms in table["timestamp"].cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64()).to_pylist()],
    ]
    return list(zip(*columns))


COLUMNS = ["activity_id", "event_date", "timestamp"]


def deltalake(lake):
    import deltalake

    return rows_of(deltalake.DeltaTable(lake).to_pyarrow_table(columns=COLUMNS))


def polars(lake):
    import polars

    return rows_of(polars.scan_delta(lake).select(COLUMNS).collect().to_arrow())


def datafusion(lake):
    import deltalake
    import pyarrow as pa
    from datafusion import SessionContext

    context = SessionContext()
    context.register_table("activities", deltalake.DeltaTable(lake))
    batches = context.sql(f"SELECT {', '.join(COLUMNS)} FROM activities").collect()
    return rows_of(pa.Table.from_batches(batches)) if batches else []


def chdb(lake):
    import chdb

    # It reads only below the folder where it runs.
    os.chdir(os.path.dirname(lake))
    query = (
        "SELECT activity_id, toString(event_date), toUnixTimestamp64Milli(toDateTime64(timestamp, 3, 'UTC'))"
        f" FROM deltaLakeLocal('{lake}/')"
    )
    answer = chdb.query(query + " FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0")
    return [json.loads(line) for line in str(answer).splitlines() if line]


def files(lake):
    """The paths of the files, by delta-rs."""
    import deltalake

    actions = deltalake.DeltaTable(lake).get_add_actions(flatten=True)
    return list(actions["path"].to_pylist() if hasattr(actions["path"], "to_pylist") else actions["path"])


def writes(lake):
    """What delta-rs refuses to write."""
    import deltalake

    table = deltalake.DeltaTable(lake)
    some = table.to_pyarrow_table().slice(0, 1)
    for what, write in [
        ("append", lambda: deltalake.write_deltalake(lake, some, mode="append")),
        ("overwrite", lambda: deltalake.write_deltalake(lake, some, mode="overwrite")),
        ("delete", lambda: table.delete()),
        ("optimize", lambda: table.optimize.compact()),
    ]:
        try:
            write()
        except Exception:
            yield what


if __name__ == "__main__":
    question, lake = sys.argv[1:]
    for row in globals()[question](lake):
        print(row if isinstance(row, str) else json.dumps(row))
    sys.stdout.flush()
    # Some engines do not end by themselves.
    os._exit(0)

"""Reads a lake with two readers that are not ours, DuckDB and pyarrow.

rows.py serve           for every line of stdin, which names a lake, a line with a JSON object: for each reader
                        the rows as [id, event_date, timestamp in ms]. A lake may be s3://bucket/folder, with the
                        variables of the program; DuckDB reads it where its extension httpfs is installed, else
                        the list is null
rows.py watch LAKE      reads every visible file again and again until stdin closes; prints how often,
                        and every error of the reader
rows.py same LAKE LAKE [raw]
                        compares the rows of two lakes in every column but those of the runs, and `raw` where it is
                        asked for; prints their count and some that differ
rows.py everything FOLDER
                        prints all that is in the Parquet files below a folder, uncompressed: rows, schema, footer
rows.py types FILE      prints the columns of a file as [name, type to DuckDB, type to pyarrow]
"""

import glob
import json
import os
import sys
import threading

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import stores


def files(lake):
    return sorted(glob.glob(os.path.join(lake, "activities", "**", "*.parquet"), recursive=True))


def pattern(lake):
    return os.path.join(lake, "activities", "**", "*.parquet")


def remote_by_duckdb(lake):
    con = duckdb.connect()
    try:
        stores.teach(con)
    except ImportError:
        return None
    return [list(row) for row in rows(con, lake)]


def rows(con, lake):
    return con.sql(
        f"""SELECT activity_id, event_date::VARCHAR, epoch_ms(timestamp)
            FROM read_parquet('{pattern(lake)}', hive_partitioning = true)"""
    ).fetchall()


def by_duckdb(lake):
    if stores.is_remote(lake):
        return remote_by_duckdb(lake)
    if not files(lake):
        return []
    return [list(row) for row in rows(duckdb, lake)]


def by_pyarrow(lake):
    if not stores.is_remote(lake) and not files(lake):
        return []
    filesystem, path = stores.opened(lake)
    folder = os.path.join(path, "activities")
    table = ds.dataset(folder, filesystem=filesystem, format="parquet", partitioning="hive").to_table(
        columns=["activity_id", "event_date", "timestamp"]
    )
    times = pc.cast(table["timestamp"], "int64").to_pylist()
    days = [str(day) for day in table["event_date"].to_pylist()]
    return [[i, d, t // 1000] for i, d, t in zip(table["activity_id"].to_pylist(), days, times)]


def serve():
    duckdb.sql("SET enable_external_file_cache = false")
    for line in sys.stdin:
        lake = line.rstrip("\n")
        try:
            out = {"duckdb": by_duckdb(lake), "pyarrow": by_pyarrow(lake)}
        except Exception as error:
            out = {"error": repr(error)}
        print(json.dumps(out), flush=True)


def watch(lake):
    closed = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), closed.set()), daemon=True).start()
    reads, errors = 0, []
    while not closed.is_set():
        for path in files(lake):
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                continue  # swept between the listing and the opening
            if data[:4] != b"PAR1" or data[-4:] != b"PAR1":
                errors.append(f"{path}: {len(data)} bytes are not a whole file")
        try:
            if files(lake):
                duckdb.sql(f"SELECT count(activity_id), max(timestamp) FROM read_parquet('{pattern(lake)}')").fetchall()
        except duckdb.IOException as error:
            if "No such file" not in str(error) and "Cannot open" not in str(error) and "No files found" not in str(error):
                errors.append(str(error))
        reads += 1
    return {"reads": reads, "errors": errors}


def same(lake, other, raw=None):
    left_out = ["ingest_run_id", "ingested_at"] + ([] if raw else ["raw"])
    one, two = (f"read_parquet('{pattern(name)}', hive_partitioning = true)" for name in (lake, other))
    columns = [name for name, *_ in duckdb.sql(f"DESCRIBE FROM {one}").fetchall() if name not in left_out]
    rows = [duckdb.sql(f"SELECT count(*) FROM {lake}").fetchone()[0] for lake in (one, two)]
    differ = []
    def values(lake, column):
        found = duckdb.sql(f"SELECT activity_id, {column} FROM {lake}").fetchall()
        return sorted((i, json.dumps(text and json.loads(text), sort_keys=True)) for i, text in found)

    # An export keeps the values of these and not the order of keys.
    by_value = [column for column in columns if column in ("unmapped", "raw")]
    for column in by_value:
        a, b = values(one, column), values(two, column)
        differ += [[column, str(pair)[:2000]] for pair in zip(a, b) if pair[0] != pair[1]][:1]

    def some_that_differ(names):
        a, b = (f"(SELECT {', '.join(names)} FROM {lake})" for lake in (one, two))
        return duckdb.sql(f"{a} EXCEPT ALL {b} LIMIT 1").fetchall() + duckdb.sql(f"{b} EXCEPT ALL {a} LIMIT 1").fetchall()

    others = [column for column in columns if column not in by_value]
    if some_that_differ(others):
        found = ((column, some_that_differ(["activity_id", column])) for column in others)
        differ += [[column, str(some)[:2000]] for column, some in found if some]
        differ = differ or [["rows", "no column alone"]]
    if rows[0] != rows[1]:
        differ.append(["rows", str(rows)])
    return {"rows": rows[0], "differ": differ}


def types(file):
    by_duckdb = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{file}', hive_partitioning = false)").fetchall()
    by_pyarrow = pq.read_schema(file)
    if [name for name, *_ in by_duckdb] != by_pyarrow.names:
        raise ValueError("the readers see different columns")
    return [[name, kind, str(by_pyarrow.field(name).type)] for name, kind, *_ in by_duckdb]


def everything(folder):
    found = sorted(glob.glob(os.path.join(folder, "**", "*.parquet"), recursive=True))
    tables = [pq.read_table(file, partitioning=None) for file in found]
    footers = [pq.read_metadata(file) for file in found]
    return [[table.to_pydict(), table.schema.metadata, footer.metadata, footer.to_dict()] for table, footer in zip(tables, footers)]


def main():
    mode, *lake = sys.argv[1:]
    if mode == "serve":
        serve()
    elif mode == "everything":
        print(everything(*lake))
    else:
        json.dump({"watch": watch, "types": types, "same": same}[mode](*lake), sys.stdout)


main()

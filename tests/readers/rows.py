"""Reads a lake with two readers that are not ours, DuckDB and pyarrow.

rows.py LAKE            one JSON object: for each reader the rows as [id, event_date, timestamp in ms]
rows.py - --serve       the same for every line of stdin, which names a lake: one line of JSON each
rows.py LAKE --watch    reads every visible file again and again until stdin closes; prints how often,
                        and every error of the reader
rows.py LAKE --ddl      runs the DDL that stands on stdin, inserts the lake's rows by name, prints their count
"""

import glob
import json
import os
import sys
import threading

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds


def files(lake):
    return sorted(glob.glob(os.path.join(lake, "activities", "**", "*.parquet"), recursive=True))


def pattern(lake):
    return os.path.join(lake, "activities", "**", "*.parquet")


def by_duckdb(lake):
    if not files(lake):
        return []
    rows = duckdb.sql(
        f"""SELECT activity_id, event_date::VARCHAR, epoch_ms(timestamp)
            FROM read_parquet('{pattern(lake)}', hive_partitioning = true)"""
    ).fetchall()
    return [list(row) for row in rows]


def by_pyarrow(lake):
    if not files(lake):
        return []
    table = ds.dataset(os.path.join(lake, "activities"), format="parquet", partitioning="hive").to_table(
        columns=["activity_id", "event_date", "timestamp"]
    )
    times = pc.cast(table["timestamp"], "int64").to_pylist()
    days = [str(day) for day in table["event_date"].to_pylist()]
    return [[i, d, t // 1000] for i, d, t in zip(table["activity_id"].to_pylist(), days, times)]


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


def ddl(lake):
    con = duckdb.connect()
    con.execute(sys.stdin.read())
    con.execute(
        f"INSERT INTO activities BY NAME SELECT * FROM read_parquet('{pattern(lake)}', hive_partitioning = true)"
    )
    return {"rows": con.execute("SELECT count(*) FROM activities").fetchone()[0]}


def main():
    lake, mode = sys.argv[1], (sys.argv[2:] or [""])[0]
    if mode == "--serve":
        duckdb.sql("SET enable_external_file_cache = false")
        for line in sys.stdin:
            lake = line.rstrip("\n")
            try:
                out = {"duckdb": by_duckdb(lake), "pyarrow": by_pyarrow(lake)}
            except Exception as error:
                out = {"error": repr(error)}
            print(json.dumps(out), flush=True)
        return
    if mode == "--watch":
        out = watch(lake)
    elif mode == "--ddl":
        out = ddl(lake)
    else:
        out = {"duckdb": by_duckdb(lake), "pyarrow": by_pyarrow(lake)}
    json.dump(out, sys.stdout)


main()

#!/usr/bin/env python3
"""What looking something up takes in a lake of a year, before and after `compact`, by DuckDB.

    python3 benches/lookups.py                          365 days of 20,000 activities
    python3 benches/lookups.py --days 30 --rows 5000
    python3 benches/lookups.py --lake DIR               a lake that an earlier run with --keep DIR made

The lake is made by the program itself: hourly slices scanned from a simulated tenant in a process of its
own. Every question is asked of all files by a pattern, of one lake after the other in each round, over a new
connection, so that footers are read anew; the files themselves are in the system's cache after the first
round. A figure is the median.

The compacted files are then written twice more by DuckDB, day by day, once by `timestamp` and once by
`user_name, timestamp`: the last two columns differ by nothing but the order of the rows.

Needs duckdb in the Python that runs it.
"""

import argparse
import collections
import glob
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import scan as scans

TIMES = 5


class Lake:
    """Files that a pattern finds."""

    def __init__(self, folder):
        self.pattern = f"{folder}/activities/**/*.parquet"
        files = glob.glob(self.pattern, recursive=True)
        self.files, self.bytes = len(files), sum(map(os.path.getsize, files))

    def ask(self, question, values=()):
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            source = f"read_parquet('{self.pattern}', hive_partitioning = true)"
            return connection.execute(question.replace("activities", source), values).fetchall()


def measured(lakes, asked):
    """The median time and the answer of every question and lake."""
    taken, answers = collections.defaultdict(list), {}
    for _ in range(TIMES):
        for question, what in asked.items():
            for name, lake in lakes.items():
                started = time.perf_counter()
                rows = lake.ask(*what)
                taken[question, name].append(time.perf_counter() - started)
                answers[question, name] = sorted(map(str, rows))
    return {key: (statistics.median(seconds), answers[key]) for key, seconds in taken.items()}


def questions(lake):
    """The questions, with what is asked for; all but one answer is not empty."""
    users = "SELECT user_name FROM activities WHERE user_name IS NOT NULL GROUP BY 1 ORDER BY count(*), 1 LIMIT 1"
    user = lake.ask(users)[0][0]
    middle = "SELECT activity_id, timestamp, event_date FROM activities ORDER BY timestamp OFFSET (SELECT count(*) // 2 FROM activities) LIMIT 1"
    found, moment, day = lake.ask(middle)[0]
    ten = "timestamp >= ?::TIMESTAMPTZ AND timestamp < ?::TIMESTAMPTZ + INTERVAL 10 MINUTES"
    return {
        "a rare user's rows": ("SELECT activity_id, timestamp, app_name, device_client_ip FROM activities WHERE user_name = ?", [user]),
        "an address that is not there": ("SELECT count(*) FROM activities WHERE device_client_ip = '203.0.113.254'", []),
        "an id": ("SELECT activity_id, timestamp, app_name FROM activities WHERE activity_id = ?", [found]),
        "ten minutes, by `timestamp`": (f"SELECT count(*) FROM activities WHERE {ten}", [moment, moment]),
        "ten minutes, by `event_date` too": (f"SELECT count(*) FROM activities WHERE event_date = ? AND {ten}", [day, moment, moment]),
        "count": ("SELECT count(*) FROM activities", []),
    }


def make(programs, days, rows, lake):
    started = time.monotonic()
    with scans.tenant(programs, days * rows, days) as url:
        report = scans.scan(programs, url, lake, days, ["--parallel", "2"])
    print(f"scanned {report['rows']} rows of {days} days in {time.monotonic() - started:.0f} s", file=sys.stderr)


def compact(programs, lake):
    started = time.monotonic()
    subprocess.run([programs / "mdca-lake", "compact", "--before", "0s", "--lake", lake], stdout=subprocess.DEVNULL, check=True)
    print(f"compacted in {time.monotonic() - started:.0f} s", file=sys.stderr)


def written_by(order, lake, folder):
    """The same rows in files of the same row groups, by DuckDB."""
    for day in sorted(pathlib.Path(lake, "activities").iterdir()):
        target = pathlib.Path(folder, "activities", day.name)
        target.mkdir(parents=True)
        with duckdb.connect() as connection:
            connection.execute(
                f"""COPY (SELECT * FROM read_parquet('{day}/*.parquet', hive_partitioning = false) ORDER BY {order})
                    TO '{target}/all.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 8192)"""
            )
    return Lake(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rows", type=int, default=20_000, help="a day")
    parser.add_argument("--programs", type=pathlib.Path, help="a folder with mdca-lake and mdca-sim; else they are built")
    parser.add_argument("--keep", type=pathlib.Path, help="where the lake is left as it is before it is compacted")
    parser.add_argument("--lake", type=pathlib.Path, help="a lake that was kept")
    asked = parser.parse_args()
    programs = asked.programs or scans.build()
    with tempfile.TemporaryDirectory() as room:
        if asked.lake:
            shutil.copytree(asked.lake, f"{room}/lake")
        else:
            make(programs, asked.days, asked.rows, f"{room}/lake")
        if asked.keep:
            shutil.copytree(f"{room}/lake", asked.keep)
        shutil.copytree(f"{room}/lake", f"{room}/compacted")
        compact(programs, f"{room}/compacted")
        lakes = {
            "hourly files": Lake(f"{room}/lake"),
            "compacted": Lake(f"{room}/compacted"),
            "by DuckDB: timestamp": written_by("timestamp", f"{room}/compacted", f"{room}/by-time"),
            "by DuckDB: user_name": written_by("user_name, timestamp", f"{room}/compacted", f"{room}/by-user"),
        }
        all_questions = questions(lakes["hourly files"])
        show(lakes, measured(lakes, all_questions), all_questions)


def show(lakes, figures, all_questions):
    print("| | " + " | ".join(lakes) + " | |")
    print("|---" * (len(lakes) + 2) + "|")
    print("| files | " + " | ".join(f"{lake.files:,}" for lake in lakes.values()) + " | |")
    print("| MB | " + " | ".join(f"{lake.bytes / 1e6:,.1f}" for lake in lakes.values()) + " | |")
    first = next(iter(lakes))
    for question in all_questions:
        cells = [figures[question, name] for name in lakes]
        if any(rows != figures[question, first][1] for _, rows in cells):
            sys.exit(f"{question}: the answers differ")
        times = [seconds for seconds, _ in cells]
        said = " | ".join(f"{seconds * 1000:,.1f} ms" for seconds in times)
        print(f"| {question} | {said} | {times[0] / times[1]:,.1f} × faster |")


main()

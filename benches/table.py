#!/usr/bin/env python3
"""How long the lake's Delta table takes to open after years of hourly versions, with and without a checkpoint.

    target/python/bin/python benches/table.py [VERSIONS]

Needs `cargo build --release` and the environment that `./tests/run` makes. It makes a small lake, gives it so
many commits (8,760, a year of hours) with a version of the table for each, as hourly runs without checkpoints would
have left them, and lets the program bring the table up to date, which writes the checkpoint.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone

PROGRAM = pathlib.Path("target/release/mdca-lake")
ATTEMPT = "0123456789abcdef"


def sealed(member):
    """An object of the lake's own: its members, then the checksum of all before it."""
    body = json.dumps(member, separators=(",", ":"))[:-1]
    checksum = hashlib.sha256(body.encode()).hexdigest()
    return f'{body},"checksum":"sha256:{checksum}"}}\n'


def age(lake, versions):
    log = lake / "_delta_log"
    like = next((lake / "_mdca/commits").iterdir())
    commit = json.loads(like.read_text())
    commit.pop("checksum")
    entry = commit["files"][0]
    first = datetime(2020, 1, 1, tzinfo=timezone.utc)
    for number in range(1, versions + 1):
        begin = first + timedelta(hours=number)
        spell = lambda at: at.strftime("%Y%m%dT%H%MZ")
        slice_ = f"{spell(begin)}-{spell(begin + timedelta(hours=1))}"
        path = f"activities/event_date={begin:%Y-%m-%d}/{slice_}-{ATTEMPT}-0.parquet"
        commit.update(slice=slice_, attempt=ATTEMPT, files=[{**entry, "path": path}], rejects=None)
        (lake / f"_mdca/commits/{slice_}.json").write_text(sealed(commit))
        add = {
            "path": path,
            "partitionValues": {"event_date": f"{begin:%Y-%m-%d}"},
            "size": entry["bytes"],
            "modificationTime": 0,
            "dataChange": True,
            "stats": json.dumps({"numRecords": entry["rows"]}),
        }
        actions = [{"commitInfo": {"timestamp": 0, "operation": "WRITE"}}, {"add": add}]
        (log / f"{number:020}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))


def run(*args):
    started = time.monotonic()
    subprocess.run([PROGRAM, *args], check=True, capture_output=True)
    return time.monotonic() - started


def opening(lake):
    """Seconds that other programs take to say which files the table has: the fastest of three."""
    import deltalake
    import polars

    def of(read):
        took = []
        for _ in range(3):
            started = time.monotonic()
            found = read()
            took.append(time.monotonic() - started)
        return min(took), found

    rs, files = of(lambda: len(deltalake.DeltaTable(str(lake)).file_uris()))
    scan, _ = of(lambda: polars.scan_delta(str(lake)).collect_schema())
    return f"delta-rs {rs:.2f} s ({files} files), Polars {scan:.2f} s"


def main():
    versions = int(sys.argv[1]) if len(sys.argv) > 1 else 8_760
    with tempfile.TemporaryDirectory() as room:
        lake = pathlib.Path(room) / "lake"
        run("demo", "--lake", lake, "--activities", "200")
        age(lake, versions)
        print(f"{versions} versions without a checkpoint: {opening(lake)}")
        print(f"brought up to date from all commits: {run('compact', '--before', '100000d', '--lake', lake):.2f} s")
        print(f"with a checkpoint: {opening(lake)}")
        print(f"steady: {run('compact', '--before', '100000d', '--lake', lake):.2f} s, status {run('status', '--lake', lake):.2f} s")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Whether time for each record and peak memory of `convert` stay as they are when the input grows.

    python3 benches/growth.py                        10,000, 100,000 and 1,000,000 activities, three rounds
    python3 benches/growth.py --sizes 1000 10000 --times 1

The inputs are one simulated archive, cut or told again under other ids; a million of them take 5 GB of disk below
target/peers. What `scan` takes as it grows says `benches/scan.py memory`.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers"))
import run as peers

BASE = 100_000


def make_input(base, size):
    """The first activities of the archive, or all of it as often as it takes, each time under other ids."""
    path = peers.WORK / f"growth-{size}.ndjson"
    with open(path, "w") as file:
        left, turn = size, 0
        while left > 0:
            with open(base) as lines:
                for line in lines:
                    if left == 0:
                        break
                    file.write(line.replace('"_id":"', f'"_id":"{turn}-', 1))
                    left -= 1
            turn += 1
    return path


def convert(program, source):
    lake = peers.WORK / "growth-lake"
    shutil.rmtree(lake, ignore_errors=True)
    command = [program, "convert", source, "--lake", lake, "--report", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shutil.rmtree(lake, ignore_errors=True)
    if done.returncode != 0:
        sys.exit(done.stderr.decode())
    report = json.loads(done.stdout)
    return report["rows"], report["elapsed_s"], report["peak_memory_bytes"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    programs = peers.build()
    peers.WORK.mkdir(parents=True, exist_ok=True)
    base = peers.WORK / f"activities-{BASE}.ndjson"
    if not base.exists():
        peers.make_input(programs, BASE, base)
    first = None
    print("| activities | µs for each | peak memory | to the first |")
    print("|---|---|---|---|")
    for size in asked.sizes:
        source = make_input(base, size)
        runs = [convert(programs / "mdca-lake", source) for _ in range(asked.times)]
        source.unlink()
        if any(rows != size for rows, _, _ in runs):
            sys.exit(f"rows were lost: {runs}")
        each_us = statistics.median(elapsed_s for _, elapsed_s, _ in runs) / size * 1e6
        peak_bytes = max(peak for _, _, peak in runs)
        first = first or (each_us, peak_bytes)
        ratios = f"time {each_us / first[0]:.2f}, memory {peak_bytes / first[1]:.2f}"
        print(f"| {size:,} | {each_us:.0f} | {peak_bytes >> 20} MiB | {ratios} |", flush=True)


if __name__ == "__main__":
    main()

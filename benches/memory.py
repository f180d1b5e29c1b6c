#!/usr/bin/env python3
"""How much memory a scan takes at most, by how much it scans.

    python3 benches/memory.py [--records 50000 400000] [-- FLAGS OF scan]

The simulated tenant runs in a process of its own. Every scan takes pages of the same size: what
differs is the length of the window. The last one scans as many records as the longest window in
the hours of the shortest, so its pages are as large as the tenant makes them. Figures are the
program's own report of its peak resident memory.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Ten full pages in an hour-long slice would be one tenant's busy day; two are a common one.
RECORDS_PER_DAY = 50_000


def build():
    subprocess.run(
        ["cargo", "build", "--release", "-p", "mdca-lake", "-p", "mdca-sim"], cwd=ROOT, check=True
    )
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def scan(programs, records, days, flags):
    tenant = subprocess.Popen(
        [
            programs / "mdca-sim",
            "--activities", str(records),
            "--days", str(days),
            "--requests-per-minute", "0",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        url = tenant.stdout.readline().strip()
        with tempfile.TemporaryDirectory(prefix="mdca-lake-memory-") as folder:
            done = subprocess.run(
                [
                    programs / "mdca-lake", "scan",
                    "--api-url", url,
                    "--lake", f"{folder}/lake",
                    "--from", f"{days + 1}d",
                    "--settle", "0s",
                    "--requests-per-minute", "0",
                    "--report", "json",
                    *flags,
                ],
                env={**os.environ, "MDCA_API_TOKEN": "sim-token"},
                stdout=subprocess.PIPE,
                text=True,
            )
    finally:
        tenant.kill()
        tenant.wait()
    report = json.loads(done.stdout)
    if report["exit_code"] != 0:
        sys.exit(f"the scan failed: {report['failures']}")
    return report


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--records", type=int, nargs="+", default=[50_000, 400_000])
    arguments.add_argument("flags", nargs="*", help="flags of scan, after --")
    asked = arguments.parse_args()
    programs = build()
    runs = [(records, max(1, records // RECORDS_PER_DAY)) for records in asked.records]
    runs.append((runs[-1][0], runs[0][1]))
    first = None
    print(f"{'records':>9} {'days':>5} {'pages':>6} {'JSON MB':>8} {'peak MiB':>9} {'ratio':>6} {'rows/s':>8}")
    for records, days in runs:
        report = scan(programs, records, days, asked.flags)
        peak_mib = report["peak_memory_bytes"] / 2**20
        first = first or peak_mib
        rows = report["counts"]["rows"]
        print(
            f"{rows:>9} {days:>5} {report['counts']['pages']:>6} {report['bytes_in'] / 1e6:>8.0f}"
            f" {peak_mib:>9.0f} {peak_mib / first:>6.2f} {rows / max(report['elapsed_s'], 1e-3):>8.0f}"
        )


if __name__ == "__main__":
    main()

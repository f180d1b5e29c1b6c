#!/usr/bin/env python3
"""What a lake of many years costs before anything is done with it: seconds of commands that mostly look.

    python3 benches/years.py                 lakes of 1 and 10 years, on a disk
    python3 benches/years.py --years 3

A year is 8,760 commits and reports of hourly runs, and a tiny file for each hour. One commit, report and
file are the program's own, from a scan of a simulated tenant; the others are made after them, each with
its own name and checksum, its file a second name of the one. The first scan makes the Delta table, and is
shown by itself; the others are of one slice each. `verify` looks at every file, and reads none.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import scan as scans

# Of one file: ext4 takes 65,000.
MOST_NAMES = 30_000
HOUR = datetime.timedelta(hours=1)


def sealed(content):
    """An object of the lake's own: its last member is the checksum of what stands before it."""
    body = json.dumps(content, separators=(",", ":"), ensure_ascii=False)[:-1]
    return f'{body},"checksum":"sha256:{hashlib.sha256(body.encode()).hexdigest()}"}}\n'


def opened(path):
    content = json.loads(path.read_text())
    del content["checksum"]
    return content


class Maker:
    """Makes a lake older than it is."""

    def __init__(self, lake):
        self.lake, self.own = lake, lake / "_mdca"
        with_file = (opened(path) for path in sorted((self.own / "commits").iterdir()))
        self.commit = next(commit for commit in with_file if len(commit["files"]) == 1)
        self.file = lake / self.commit["files"][0]["path"]
        self.report = json.loads(next((self.own / "runs").iterdir()).read_text())
        self.report["commits"] = self.report["commits"][:1]

    def hour(self, begin):
        slice_name = f"{begin:%Y%m%dT%H%MZ}-{begin + HOUR:%Y%m%dT%H%MZ}"
        attempt = hashlib.sha256(slice_name.encode()).hexdigest()[:16]
        run = f"{begin + HOUR:%Y%m%dT%H%M}20Z-{attempt[:8]}"
        path = f"activities/event_date={begin:%Y-%m-%d}/{slice_name}-{attempt}-0.parquet"
        target = self.lake / path
        target.parent.mkdir(exist_ok=True)
        if os.stat(self.file).st_nlink < MOST_NAMES:
            os.link(self.file, target)
        else:
            self.file = shutil.copy(self.file, target)
        commit = self.commit | {"slice": slice_name, "attempt": attempt, "run": run}
        commit["files"] = [self.commit["files"][0] | {"path": path}]
        (self.own / f"commits/{slice_name}.json").write_text(sealed(commit))
        (self.own / f"runs/{run}.json").write_text(json.dumps(self.report | {"run": run}))

    def grow(self, years):
        identity = opened(self.own / "lake.json")
        first = min((self.own / "commits").iterdir()).name[:14]
        now = datetime.datetime.strptime(first, "%Y%m%dT%H%MZ")
        hours = round(years * 8_760)
        identity["begin_ms"] = round((now - hours * HOUR).replace(tzinfo=datetime.UTC).timestamp() * 1000)
        (self.own / "lake.json").write_text(sealed(identity))
        for number in range(1, hours + 1):
            self.hour(now - number * HOUR)


def timed(command, codes=(0,)):
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "MDCA_API_TOKEN": "sim-token"})
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        sys.exit(f"{command[1]} failed with {process.returncode}: {said.decode()}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def measure(programs, years):
    program = programs / "mdca-lake"
    with tempfile.TemporaryDirectory() as room, scans.tenant(programs, 400, 1) as url:
        lake = pathlib.Path(room, "lake")
        scan = [program, "scan", "--api-url", url, "--lake", lake, "--settle", "0s", "--requests-per-minute", "0"]
        until = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0) - 2 * HOUR
        timed([*scan, "--from", f"{until - 6 * HOUR:%Y-%m-%dT%H:%M:%SZ}", "--until", f"{until:%Y-%m-%dT%H:%M:%SZ}"])
        Maker(lake).grow(years)
        # Nobody asks a lake of years in the second after all of it was written.
        os.sync()
        ends = [f"{until + n * HOUR:%Y-%m-%dT%H:%M:%SZ}" for n in (1, 2)]
        steps = {
            "first scan, with the table": [*scan, "--until", ends[0]],
            "scan of one slice": [*scan, "--until", ends[1]],
            "scan of nothing": [*scan, "--until", ends[1]],
            "status": [program, "status", "--lake", lake],
            "compact --dry-run": [program, "compact", "--dry-run", "--lake", lake],
            "verify": [program, "verify", "--lake", lake],
        }
        return {name: timed(command) for name, command in steps.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=float, nargs="*", default=[1, 10])
    parser.add_argument("--programs", type=pathlib.Path, help="a folder with mdca-lake and mdca-sim; else they are built")
    asked = parser.parse_args()
    programs = asked.programs or scans.build()
    found = {years: measure(programs, years) for years in asked.years}
    print("| | " + " | ".join(f"{years:g} years" for years in found) + " |")
    print("|---" * (len(found) + 1) + "|")
    for name in next(iter(found.values())):
        cells = (f"{seconds:.2f} s, {mib:.0f} MiB" for seconds, mib in (figures[name] for figures in found.values()))
        print(f"| {name} | " + " | ".join(cells) + " |")


main()

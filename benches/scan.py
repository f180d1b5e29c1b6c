#!/usr/bin/env python3
"""What whole scans take: the real program, and the simulated tenant in a process of its own.

    python3 benches/scan.py flow                       records a second of whole scans, and what a commit costs
    python3 benches/scan.py memory                     peak memory, by how much is scanned
    python3 benches/scan.py parallel                   peak memory of 16 slices at once
    python3 benches/scan.py container                  two busy days under limits on memory (as root, cgroup v1)
    python3 benches/scan.py awkward                    what is hard to hold, in a container of 384 MiB (likewise)
    python3 benches/scan.py stores s3://BUCKET/FOLDER  time to a disk, and to an object store

Every scan takes pages of the same size: what differs is the length of the window. The last one of
`memory` scans as many records as the longest window in the hours of the shortest, so its pages are
as large as the tenant makes them. `flow` has the tenant answer as fast as it can, on the same cores: the
same records in slices of six hours and of one, and a few in slices of a minute, which are asked for together and
committed one by one. `parallel` has hour-long slices of as
few bytes as can be, so that what tells records apart weighs most. `stores` scans the same tenant into fresh lakes on a disk and in
the store by turns; the store's variables are the program's own (AWS_ENDPOINT, ...). `awkward` has a tenant of its own,
which answers with a record of 20 MB, a page of 100 MB, rows of 400 days, and a hundredth of records of
200 KB. Figures are the program's own report. Flags of `scan` may follow --.
"""

import argparse
import contextlib
import http.server
import json
import os
import pathlib
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Ten full pages in an hour-long slice would be one tenant's busy day; two are a common one.
RECORDS_PER_DAY = 50_000


def build():
    subprocess.run(
        ["cargo", "build", "--release", "-p", "mdca-lake", "-p", "mdca-sim"], cwd=ROOT, check=True
    )
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


@contextlib.contextmanager
def tenant(programs, records, days):
    """A tenant with so many records in so many days; its URL."""
    process = subprocess.Popen(
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
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def scan(programs, url, lake, days, flags, inside=()):
    """The report of a scan of all that the tenant has; `inside` runs it, where it is given."""
    done = subprocess.run(
        [
            *inside,
            programs / "mdca-lake", "scan",
            "--api-url", url,
            "--lake", lake,
            "--from", f"{round((days + 1) * 24)}h",
            "--settle", "0s",
            "--requests-per-minute", "0",
            "--report", "json",
            *flags,
        ],
        env={**os.environ, "MDCA_API_TOKEN": "sim-token"},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"the scan failed with {done.returncode}: {done.stdout}")
    return json.loads(done.stdout)


def flow(programs, asked):
    print(f"{'records':>9} {'slice':>6} {'slices':>7} {'requests':>9} {'s':>6} {'records/s':>10} {'JSON MB/s':>10} {'ms/slice':>9}")
    for records, days, length in [(asked.records, 2, "6h"), (asked.records, 2, "1h"), (10_000, 2, "1m")]:
        flags = ["--slice", length, *asked.flags]
        with tempfile.TemporaryDirectory() as folder, tenant(programs, records, days) as url:
            report = scan(programs, url, f"{folder}/lake", days, flags)
        seconds, slices = report["elapsed_s"], report["slices"]["committed"]
        print(
            f"{report['rows']:>9} {length:>6} {slices:>7} {report['requests']:>9} {seconds:>6.1f}"
            f" {report['rows'] / seconds:>10.0f} {report['bytes_in'] / 1e6 / seconds:>10.1f}"
            f" {1000 * seconds / slices:>9.1f}"
        )


def memory(programs, asked):
    runs = [(records, max(1, records // RECORDS_PER_DAY)) for records in asked.records]
    runs.append((runs[-1][0], runs[0][1]))
    first = None
    print(f"{'records':>9} {'days':>5} {'pages':>6} {'JSON MB':>8} {'peak MiB':>9} {'ratio':>6} {'rows/s':>8}")
    for records, days in runs:
        with tempfile.TemporaryDirectory() as folder, tenant(programs, records, days) as url:
            report = scan(programs, url, f"{folder}/lake", days, asked.flags)
        peak_mib = report["peak_memory_bytes"] / 2**20
        first = first or peak_mib
        rows = report["rows"]
        print(
            f"{rows:>9} {days:>5} {report['pages']:>6} {report['bytes_in'] / 1e6:>8.0f}"
            f" {peak_mib:>9.0f} {peak_mib / first:>6.2f} {rows / report['elapsed_s']:>8.0f}"
        )


GROUPS = pathlib.Path("/sys/fs/cgroup/memory")


@contextlib.contextmanager
def container(mib):
    """A control group that may take so much memory; the command that runs another in it."""
    group = GROUPS / f"mdca-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(mib << 20))
        yield group, ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
    finally:
        group.rmdir()


def need_control_groups():
    if not os.access(GROUPS, os.W_OK) or not (GROUPS / "memory.limit_in_bytes").exists():
        sys.exit(f"SKIPPED: {GROUPS} cannot be written: run as root where control groups of version 1 are")


def containers(programs, asked):
    """Slices of a day with so many records each. A scan that takes more than its limit is killed."""
    need_control_groups()
    days = 2
    print(f"{'limit MiB':>9} {'flags':<40} {'peak MiB':>9} {'rows':>9}")
    with tenant(programs, days * asked.records, days) as url:
        for mib, flags in [
            (96, []),
            (128, []),
            (320, ["--parallel", "16", "--memory-limit", "256MiB", "--slice", "1h"]),
            (320, ["--parallel", "16", "--memory-limit", "256MiB"]),
        ]:
            flags = flags if "--slice" in flags else [*flags, "--slice", "24h"]
            with tempfile.TemporaryDirectory() as folder, container(mib) as (_, inside):
                report = scan(programs, url, f"{folder}/lake", days, [*flags, *asked.flags], inside)
            peak_mib = report["peak_memory_bytes"] / 2**20
            print(f"{mib:>9} {' '.join(flags):<40} {peak_mib:>9.0f} {report['rows']:>9}")


HOUR_MS = 3_600_000


def activity(number, created_ms, *, happened_ms=None, padding=0):
    """A record of a few keys; as long as the padding makes it."""
    return {
        "_id": f"97134000_20893_{number}",
        "timestamp": happened_ms or created_ms,
        "created": created_ms,
        "user": {"userName": f"user{number % 400}@contoso.com"},
        "rawDataJson": {"Operation": "FileAccessed", "Padding": "x" * padding},
    }


def one_huge_record(hour_ms):
    yield [activity(0, hour_ms, padding=20_000_000)]


def a_huge_page(hour_ms):
    yield [activity(number, hour_ms + number, padding=20_000) for number in range(5_000)]


def many_days(hour_ms):
    day_ms = 24 * HOUR_MS
    for page in range(4):
        numbers = range(page * 5_000, (page + 1) * 5_000)
        yield [
            activity(n, hour_ms + n, happened_ms=hour_ms - n % 400 * day_ms, padding=4_000) for n in numbers
        ]


def some_large_records(hour_ms):
    for page in range(8):
        numbers = range(page * 5_000, (page + 1) * 5_000)
        yield [activity(n, hour_ms + n, padding=4_000 if n % 100 else 200_000) for n in numbers]


AWKWARD = [one_huge_record, a_huge_page, many_days, some_large_records]


def pages_of_an_hour(pages_of, first_ms):
    """Answers with these pages for one hour, and with nothing for all others."""

    def answer(asked):
        bounds, page = asked["filters"]["created"], asked["filters"].get("page", 0)
        pages = list(pages_of(first_ms)) if bounds["gte"] <= first_ms <= bounds["lte"] else []
        data = pages[page][: asked["limit"]] if pages else []
        return data, bounds, page, page + 1 < len(pages)

    return answer


def small_records(every_ms):
    """Answers with a record of a few bytes for every so many milliseconds."""

    def answer(asked):
        bounds, page = asked["filters"]["created"], asked["filters"].get("page", 0)
        first = -(-bounds["gte"] // every_ms) + page * asked["limit"]
        end = bounds["lte"] // every_ms + 1
        numbers = range(first, min(end, first + asked["limit"]))
        data = [{"_id": f"i{n}", "timestamp": n * every_ms, "created": n * every_ms} for n in numbers]
        return data, bounds, page, first + asked["limit"] < end

    return answer


@contextlib.contextmanager
def scripted(answer):
    """A tenant that answers so; its URL."""

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data, bounds, page, has_next = answer(asked)
            said = {"data": data, "hasNext": has_next}
            if has_next:
                said["nextQueryFilters"] = {"created": bounds, "page": page + 1}
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def awkward(programs, asked):
    need_control_groups()
    mib = 384
    first_ms = (int(time.time() * 1_000) // HOUR_MS - 3) * HOUR_MS
    print(f"{'in ' + str(mib) + ' MiB':<20} {'JSON MB':>8} {'peak MiB':>9} {'rows':>7} {'files':>6}")
    for pages_of in AWKWARD:
        due = sum(len(page) for page in pages_of(first_ms))
        with (
            tempfile.TemporaryDirectory() as folder,
            scripted(pages_of_an_hour(pages_of, first_ms)) as url,
            container(mib) as (_, inside),
        ):
            report = scan(programs, url, f"{folder}/lake", 0.25, asked.flags, inside)
        if report["rows"] != due:
            sys.exit(f"{pages_of.__name__}: {report['rows']} rows where {due} are due")
        print(
            f"{pages_of.__name__:<20} {report['bytes_in'] / 1e6:>8.0f} {report['peak_memory_bytes'] / 2**20:>9.0f}"
            f" {report['rows']:>7} {report['files']:>6}"
        )


def parallel(programs, asked):
    flags = ["--parallel", "16", "--memory-limit", "256MiB", *asked.flags]
    with tempfile.TemporaryDirectory() as folder, scripted(small_records(HOUR_MS // asked.records)) as url:
        report = scan(programs, url, f"{folder}/lake", (asked.slices + 1) / 24 - 1, flags)
    slices = report["slices"]["committed"]
    print(f"{slices} slices with {report['rows'] // slices} records: {report['peak_memory_bytes'] / 2**20:.0f} MiB at most")


def stores(programs, asked):
    seconds = {"disk": [], "store": []}
    print(f"{'lake':>6} {'s':>7} {'peak MiB':>9} {'files':>6}")
    with tempfile.TemporaryDirectory() as folder, tenant(programs, asked.records, 1) as url:
        for turn in range(asked.times):
            for where in seconds:
                name = f"bench-{secrets.token_hex(8)}"
                lake = f"{folder}/{name}" if where == "disk" else f"{asked.store}/{name}"
                report = scan(programs, url, lake, 1, asked.flags)
                seconds[where].append(report["elapsed_s"])
                peak_mib = report["peak_memory_bytes"] / 2**20
                print(f"{where:>6} {report['elapsed_s']:>7.2f} {peak_mib:>9.0f} {report['files']:>6}")
    ratios = [store / disk for disk, store in zip(seconds["disk"], seconds["store"])]
    print(f"store / disk: {statistics.median(ratios):.2f} in the median, of {[f'{r:.2f}' for r in ratios]}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    kinds = arguments.add_subparsers(required=True)
    kind = kinds.add_parser("flow")
    kind.set_defaults(bench=flow)
    kind.add_argument("--records", type=int, default=100_000)
    kind.add_argument("flags", nargs="*", help="flags of scan, after --")
    kind = kinds.add_parser("memory")
    kind.set_defaults(bench=memory)
    kind.add_argument("--records", type=int, nargs="+", default=[50_000, 400_000])
    kind.add_argument("flags", nargs="*", help="flags of scan, after --")
    kind = kinds.add_parser("parallel")
    kind.set_defaults(bench=parallel)
    kind.add_argument("--records", type=int, default=200_000, help="in each slice")
    kind.add_argument("--slices", type=int, default=20)
    kind.add_argument("flags", nargs="*", help="flags of scan, after --")
    kind = kinds.add_parser("container")
    kind.set_defaults(bench=containers)
    kind.add_argument("--records", type=int, default=200_000, help="in each slice")
    kind.add_argument("flags", nargs="*", help="flags of scan, after --")
    kind = kinds.add_parser("awkward")
    kind.set_defaults(bench=awkward)
    kind.add_argument("flags", nargs="*", help="flags of scan, after --")
    kind = kinds.add_parser("stores")
    kind.set_defaults(bench=stores)
    kind.add_argument("store", metavar="s3://BUCKET/FOLDER")
    kind.add_argument("--records", type=int, default=50_000)
    kind.add_argument("--times", type=int, default=5)
    kind.add_argument("flags", nargs="*", help="flags of scan, after --")
    asked = arguments.parse_args()
    asked.bench(build(), asked)


if __name__ == "__main__":
    main()

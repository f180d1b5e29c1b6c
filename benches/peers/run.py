#!/usr/bin/env python3
"""A saved archive of activities becomes partitioned Parquet: `mdca-lake convert` beside other programs.

    python3 benches/peers/run.py                        100,000 activities, five rounds
    python3 benches/peers/run.py --activities 20000 --times 1
    python3 benches/peers/run.py --chart benches/peers/chart.svg

All read the same NDJSON file, which a simulated tenant makes, keep its keys, and write zstd level 1
Parquet by the day of `timestamp`. Each runs as a process of its own on the same two cores, and they
take turns: what else the machine does falls on all of them alike. Time is the whole process; memory
is its peak as the system counts it. What each wrote is counted with DuckDB: a program that loses rows
is left out of the table, and said. The records hold no odd values, because some of the others stop at
the first.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = TARGET / "peers"
PACKAGES = (HERE / "requirements.txt").read_text().split()
# The first is what the others are measured by.
PEERS = ["duckdb", "pyarrow", "polars", "chdb", "script"]
LABELS = {
    "mdca-lake": "mdca-lake convert",
    "duckdb": "DuckDB COPY",
    "pyarrow": "pyarrow",
    "polars": "Polars",
    "chdb": "chdb (ClickHouse)",
    "script": "Python script + pyarrow",
}


def make_python():
    """A Python with all peers, and the note of what it was made of."""
    python, note = WORK / "env/bin/python", WORK / "env/made-of"
    if not note.exists() or note.read_text() != " ".join(PACKAGES):
        shutil.rmtree(WORK / "env", ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", WORK / "env"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        note.write_text(" ".join(PACKAGES))
    return python


def build():
    subprocess.run(
        ["cargo", "build", "--release", "-p", "mdca-lake", "-p", "mdca-sim"], cwd=ROOT, check=True
    )
    return TARGET / "release"


def make_input(programs, activities, path):
    """One activity a line, as the service gives them."""
    tenant = subprocess.Popen(
        [
            programs / "mdca-sim",
            "--activities", str(activities),
            "--odd-per-mille", "0",
            "--requests-per-minute", "0",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        url = tenant.stdout.readline().strip() + "/api/v1/activities/"
        unfinished = path.with_suffix(".unfinished")
        with open(unfinished, "w") as file:
            for record in scan(url):
                # As exact as the service wrote them: no number and no text changes on the way.
                file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        unfinished.rename(path)
    finally:
        tenant.kill()
        tenant.wait()


def scan(url):
    filters, more = {}, True
    while more:
        asked = {"isScan": True, "filters": filters, "limit": 5000}
        asked |= {"sortField": "created", "sortDirection": "asc"}
        headers = {"Authorization": "Token sim-token", "Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(asked).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            body = answer.read()
            if answer.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
        page = json.loads(body)
        yield from page["data"]
        filters, more = page.get("nextQueryFilters"), page["hasNext"]


def commands(programs, python, source, out):
    convert = [programs / "mdca-lake", "convert", source, "--lake", out, "--report", "json"]
    yield "mdca-lake", convert, f"{out}/activities"
    for peer in PEERS:
        yield peer, [python, HERE / f"{peer}_peer.py", source, out], out


def measure(command):
    """Seconds and MiB of a process."""
    with open(WORK / "said", "w") as said:
        begin = time.monotonic()
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        return None
    return seconds, usage.ru_maxrss / 1024


def rows_in(python, folder):
    count = f"select count(*) from read_parquet('{folder}/**/*.parquet', union_by_name=true)"
    code = "import duckdb, sys; print(duckdb.sql(sys.argv[1]).fetchone()[0])"
    done = subprocess.run([python, "-c", code, count], stdout=subprocess.PIPE, text=True)
    return int(done.stdout) if done.returncode == 0 else None


def mib_of(folder):
    return sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*.parquet")) / 2**20


def race(programs, python, source, asked):
    """Of each program: seconds in every round, peak MiB, MiB of files, rows."""
    found, failed = {}, set()
    for _ in range(asked.times):
        out = WORK / "out"
        for name, command, files in commands(programs, python, source, out):
            if name in failed:
                continue
            shutil.rmtree(out, ignore_errors=True)
            measured = measure(command)
            rows = rows_in(python, files) if measured else None
            if rows != asked.activities:
                failed.add(name)
                found.pop(name, None)
                what = f"kept {rows} of {asked.activities} rows" if measured else "failed"
                print(f"LEFT OUT: {LABELS[name]} {what}", file=sys.stderr)
                print((WORK / "said").read_text()[-500:], file=sys.stderr)
                continue
            seconds, peak_mib = measured
            one = found.setdefault(name, {"seconds": [], "peak_mib": 0})
            one["seconds"].append(seconds)
            one["peak_mib"] = max(one["peak_mib"], peak_mib)
            one["mib"] = mib_of(files)
        shutil.rmtree(out, ignore_errors=True)
    return found


def summary(found):
    """Rows of the table: label, ratio to DuckDB in the median of the rounds, and the figures."""
    unit = found["duckdb"]
    for name, one in sorted(found.items(), key=lambda item: statistics.median(item[1]["seconds"])):
        ratios = [its / mine for its, mine in zip(unit["seconds"], one["seconds"])]
        yield {
            "name": name,
            "label": LABELS[name],
            "ratio": statistics.median(ratios),
            "seconds": statistics.median(one["seconds"]),
            "peak_mib": one["peak_mib"],
            "mib": one["mib"],
        }


def print_table(rows, source):
    megabytes = source.stat().st_size / 1e6
    print("| program | speed, DuckDB = 1 | MB of JSON a second | seconds | peak memory, MiB | files, MiB |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['label']} | {row['ratio']:.2f} | {megabytes / row['seconds']:.0f}"
            f" | {row['seconds']:.2f} | {row['peak_mib']:.0f} | {row['mib']:.1f} |"
        )


def draw(rows, path):
    """Two bars a program: how fast it is, and what memory it takes."""
    left, width, line = 190, 230, 30
    fastest, largest = max(row["ratio"] for row in rows), max(row["peak_mib"] for row in rows)
    height, across = 60 + line * len(rows), 2 * left + 2 * width + 60
    text = 'font-family="system-ui, sans-serif" font-size="13"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across} {height}"'
        f' width="{across}" height="{height}" role="img">',
        "<title>JSON to partitioned Parquet: speed against DuckDB, and peak memory</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{left}" y="24" {text} font-weight="600" fill="#222">speed (DuckDB = 1)</text>',
        f'<text x="{2 * left + width - 60}" y="24" {text} font-weight="600" fill="#222">peak memory</text>',
    ]
    for number, row in enumerate(rows):
        y = 44 + line * number
        colour = "#0b6bcb" if row["name"] == "mdca-lake" else "#9aa5b1"
        weight = "600" if row["name"] == "mdca-lake" else "400"
        speed, memory = width * row["ratio"] / fastest, width * row["peak_mib"] / largest
        x = 2 * left + width - 60
        parts += [
            f'<text x="{left - 10}" y="{y + 14}" {text} font-weight="{weight}" text-anchor="end" fill="#222">{row["label"]}</text>',
            f'<rect x="{left}" y="{y}" width="{max(speed, 1):.0f}" height="18" rx="2" fill="{colour}"/>',
            f'<text x="{left + max(speed, 1) + 6:.0f}" y="{y + 14}" {text} fill="#222">{row["ratio"]:.2f}</text>',
            f'<rect x="{x}" y="{y}" width="{max(memory, 1):.0f}" height="18" rx="2" fill="{colour}"/>',
            f'<text x="{x + max(memory, 1) + 6:.0f}" y="{y + 14}" {text} fill="#222">{row["peak_mib"]:,.0f} MiB</text>',
        ]
    path.write_text("\n".join([*parts, "</svg>", ""]))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--activities", type=int, default=100_000)
    arguments.add_argument("--times", type=int, default=5, help="rounds")
    arguments.add_argument("--chart", type=pathlib.Path, metavar="FILE.svg")
    asked = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    python, programs = make_python(), build()
    source = WORK / f"activities-{asked.activities}.ndjson"
    if not source.exists():
        # In a process of its own: the system counts what this one holds to the peak of what it starts.
        making = multiprocessing.Process(target=make_input, args=(programs, asked.activities, source))
        making.start()
        making.join()
    found = race(programs, python, source, asked)
    if "duckdb" not in found:
        sys.exit("DuckDB is what the others are measured by, and it is not in the table")
    rows = list(summary(found))
    print_table(rows, source)
    if asked.chart:
        draw(rows, asked.chart)


if __name__ == "__main__":
    main()

"""Asks engines the same twelve questions about a lake, and holds the answers against the service's own records.

matrix.py LAKE COMPACTED RECORDS COLUMNS ENGINE…
                    COMPACTED is the same lake after `compact`, RECORDS is NDJSON as the service gave it, COLUMNS a
                    JSON list of the schema's columns; prints a JSON object: engine -> question -> null, or what is
                    wrong

The truth is computed here from the records' text, without the program. Beside the lake a copy of it is made, in which
one file is without its last column, as an older program would have written it.
"""

import collections
import datetime
import json
import os
import sys
import time

import pyarrow.fs
import pyarrow.parquet
import stores
from engines import ENGINES, TEN_MINUTES_MS


def day(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).date()


def ms_of(value):
    """A time as the service gives it: mostly a number, at times as text."""
    return int(value) if isinstance(value, int) or value.isdigit() else round(datetime.datetime.fromisoformat(value).timestamp() * 1000)


class Truth:
    """What the answers are, and what is asked for."""

    def __init__(self, path, columns):
        with open(path, encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        times = sorted(ms_of(record["timestamp"]) for record in records)
        addresses = collections.Counter((record.get("device") or {}).get("clientIP") for record in records)
        users = collections.Counter((record.get("user") or {}).get("userName") for record in records)
        days = collections.Counter(day(ms) for ms in times)
        self.address = min((-n, ip) for ip, n in addresses.items() if ip)[1]
        self.one = records[len(records) // 2]
        self.from_ms = times[len(times) // 2] // 1000 * 1000
        self.day = max(days.items(), key=lambda item: (item[1], item[0]))[0]
        objects = [thing for record in records for thing in (record.get("mainInfo") or {}).get("eventObjects") or []]
        until_ms = self.from_ms + TEN_MINUTES_MS
        self.answers = {
            "count": len(records),
            "per day": sorted(days.items()),
            "per user": sorted(((n, name) for name, n in users.items() if name), key=lambda item: (-item[0], item[1]))[:5],
            "by address": addresses[self.address],
            "by id": [ms_of(self.one["timestamp"]), self.one["appName"]],
            "ten minutes": sum(self.from_ms <= ms < until_ms for ms in times),
            "list of structs": sorted(collections.Counter(thing["role"] for thing in objects).items()),
            "JSON text": sum((record.get("rawDataJson") or {}).get("Workload") == "SharePoint" for record in records),
            "nulls": users[None],
            "one partition": days[self.day],
            "columns": sorted([*columns, "event_date"]),
            "two generations": [len(records), None],
        }


def grow_old(lake, older):
    """Copies a lake, and writes one file of the copy without the column that the schema got last; says which column,
    and how many rows lack it."""
    files, source = stores.opened(lake)
    _, path = stores.opened(older)
    pyarrow.fs.copy_files(source, path, source_filesystem=files, destination_filesystem=files)
    largest = max(stores.below(files, f"{path}/activities"), key=lambda info: info.size)
    table = pyarrow.parquet.ParquetFile(largest.path, filesystem=files).read()
    column = "ingested_at"
    pyarrow.parquet.write_table(table.drop_columns([column]), largest.path, filesystem=files)
    # The Delta table says how large each file is, and some engines look for a footer by that.
    size = files.get_file_info(largest.path).size
    for log in stores.below(files, f"{path}/_delta_log"):
        with files.open_input_file(log.path) as file:
            text = file.read()
        with files.open_output_stream(log.path) as file:
            file.write(text.replace(f'"size":{largest.size},'.encode(), f'"size":{size},'.encode()))
    return column, table.num_rows


def wrong(expected, ask):
    """What is wrong with an answer; none where it is right."""
    try:
        found = ask()
    except Exception as error:
        return f"failed: {error!r}"[:500]

    def plain(value):
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    return None if plain(found) == plain(expected) else f"{str(found)[:200]} instead of {str(expected)[:200]}"


def main():
    lake, compacted, records, columns, *names = sys.argv[1:]
    os.environ["TZ"] = "UTC"
    time.tzset()
    truth = Truth(records, json.loads(columns))
    older = f"{lake}-older"
    column, rows = grow_old(lake, older)
    truth.answers["two generations"][1] = truth.answers["count"] - rows
    table = {}
    for name in names:
        engine = ENGINES[name]
        asked = engine(lake).ask(truth)
        asked["two generations"] = lambda engine=engine: engine(older).generations(column)
        table[name] = {question: wrong(answer, asked[question]) for question, answer in truth.answers.items()}
        for question, ask in engine(compacted).ask(truth).items():
            after = wrong(truth.answers[question], ask)
            table[name][question] = table[name][question] or (after and f"compacted: {after}")
    json.dump(table, sys.stdout)


main()

"""Asks six engines the same twelve questions about a lake, and holds the answers against the service's own records.

matrix.py LAKE COMPACTED RECORDS COLUMNS    COMPACTED is the same lake after `compact`, RECORDS is NDJSON as the
                                            service gave it, COLUMNS a JSON list of the schema's columns; prints a
                                            JSON object: engine -> question -> null, or what is wrong

The truth is computed here from the records' text, without the program. The lakes are read by glob or as folders, as
each engine's users do. One file is then written anew without its last column, as an older program would have.
"""

import collections
import datetime
import glob
import json
import os
import shutil
import sys
import tempfile
import time

DAY_MS = 86_400_000
TEN_MINUTES_MS = 600_000


def day(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).date()


def utc(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


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


def first(rows):
    return rows[0][0]


class BySql:
    """The questions in SQL. What differs from engine to engine are its few turns of phrase."""

    unnested = "unnest(main_info_event_objects)"
    role = "o.role"
    workload = "raw_data_json ->> '$.Workload'"
    moment = "TIMESTAMPTZ '{}+00:00'"
    date = "DATE '{}'"
    unix_ms = "epoch_ms(timestamp)"

    def rows(self, text):
        raise NotImplementedError

    def time(self, ms):
        return self.moment.format(utc(ms))

    def ask(self, truth):
        roles = f"SELECT {self.role}, count(*) FROM (SELECT {self.unnested} AS o FROM activities) AS things GROUP BY 1"
        top = """SELECT count(*) AS n, user_name FROM activities WHERE user_name IS NOT NULL
                 GROUP BY user_name ORDER BY n DESC, user_name LIMIT 5"""
        by_id = f"SELECT {self.unix_ms}, app_name FROM activities WHERE activity_id = '{truth.one['_id']}'"
        within = f"timestamp >= {self.time(truth.from_ms)} AND timestamp < {self.time(truth.from_ms + TEN_MINUTES_MS)}"

        def count(where):
            return lambda: first(self.rows(f"SELECT count(*) FROM activities WHERE {where}"))

        return {
            "count": count("true"),
            "per day": lambda: sorted(self.rows("SELECT event_date, count(*) FROM activities GROUP BY event_date")),
            "per user": lambda: self.rows(top),
            "by address": count(f"device_client_ip = '{truth.address}'"),
            "by id": lambda: list(self.rows(by_id)[0]),
            "ten minutes": count(within),
            "list of structs": lambda: sorted(self.rows(roles)),
            "JSON text": count(f"{self.workload} = 'SharePoint'"),
            "nulls": count("user_name IS NULL"),
            "one partition": count(f"event_date = {self.date.format(truth.day)}"),
            "columns": lambda: sorted(self.columns()),
        }

    def generations(self, column):
        return list(self.rows(f"SELECT count(*), count({column}) FROM activities")[0])


class DuckDb(BySql):
    def __init__(self, lake):
        import duckdb

        self.con = duckdb.connect()
        self.con.execute(
            f"""SET TimeZone = 'UTC'; CREATE VIEW activities AS SELECT * FROM read_parquet(
                '{lake}/activities/**/*.parquet', hive_partitioning = true, union_by_name = true)"""
        )

    def rows(self, text):
        return self.con.sql(text).fetchall()

    def columns(self):
        return self.con.sql("FROM activities").columns


class DataFusion(BySql):
    role = "o['role']"
    # It has no function for JSON: the text is looked through.
    workload = "CASE WHEN raw_data_json LIKE '%\"Workload\":\"SharePoint\"%' THEN 'SharePoint' END"
    moment = "TIMESTAMP '{}Z'"
    unix_ms = "CAST(to_timestamp_millis(timestamp) AS BIGINT)"

    def __init__(self, lake):
        import datafusion
        import pyarrow

        self.con = datafusion.SessionContext()
        self.con.register_parquet("activities", f"{lake}/activities", table_partition_cols=[("event_date", pyarrow.date32())])

    def rows(self, text):
        return [tuple(row.values()) for row in self.con.sql(text).to_pylist()]

    def columns(self):
        return self.con.table("activities").schema().names


class ChDb(BySql):
    unnested = "arrayJoin(main_info_event_objects)"
    role = "tupleElement(o, 'role')"
    workload = "JSONExtractString(coalesce(raw_data_json, ''), 'Workload')"
    moment = "toDateTime64('{}', 6, 'UTC')"
    date = "toDate('{}')"
    unix_ms = "toUnixTimestamp64Milli(timestamp)"

    def __init__(self, lake):
        from chdb import session

        self.con = session.Session()
        self.con.query(
            f"""CREATE OR REPLACE VIEW activities AS SELECT * FROM file('{lake}/activities/**/*.parquet', Parquet)
                SETTINGS use_hive_partitioning = 1, schema_inference_mode = 'union'"""
        )

    def rows(self, text):
        found = json.loads(str(self.con.query(text, "JSON")))
        kinds = [column["type"] for column in found["meta"]]
        return [tuple(map(self.value, kinds, row.values())) for row in found["data"]]

    @staticmethod
    def value(kind, value):
        kind = kind.removeprefix("Nullable(").removeprefix("LowCardinality(")
        if kind.startswith("Date"):
            return datetime.date.fromisoformat(value)
        return int(value) if kind.startswith(("UInt", "Int")) and value is not None else value

    def columns(self):
        return [row[0] for row in self.rows("DESCRIBE TABLE activities")]


class Spark(BySql):
    unnested = "explode(main_info_event_objects)"
    workload = "get_json_object(raw_data_json, '$.Workload')"
    moment = "TIMESTAMP '{}+00:00'"
    unix_ms = "unix_millis(timestamp)"

    def __init__(self, lake):
        from pyspark.sql import SparkSession

        build = SparkSession.builder.master("local[2]")
        for name, value in {
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": "1",
            "spark.sql.session.timeZone": "UTC",
            "spark.log.level": "ERROR",
        }.items():
            build = build.config(name, value)
        self.con = build.getOrCreate()
        self.frame = self.con.read.option("mergeSchema", "true").parquet(f"{lake}/activities")
        self.frame.createOrReplaceTempView("activities")

    def rows(self, text):
        return [tuple(row) for row in self.con.sql(text).collect()]

    def columns(self):
        return self.frame.columns


class Polars:
    def __init__(self, lake):
        import polars as pl

        self.pl = pl
        # The schema of the newest file: those of older ones lack its last columns.
        newest = pl.read_parquet_schema(max(glob.glob(f"{lake}/activities/**/*.parquet", recursive=True), key=columns_of))
        self.frame = pl.scan_parquet(
            f"{lake}/activities/**/*.parquet", hive_partitioning=True, schema=newest, missing_columns="insert"
        )

    def count(self, where):
        return self.frame.filter(where).select(self.pl.len()).collect().item()

    def ask(self, truth):
        pl, col, frame = self.pl, self.pl.col, self.frame
        start = datetime.datetime.fromtimestamp(truth.from_ms / 1000, datetime.UTC)
        time_ms = col("timestamp").dt.epoch("ms")
        by_id = frame.filter(col("activity_id") == truth.one["_id"]).select(time_ms, "app_name")
        top = frame.drop_nulls("user_name").group_by("user_name").len().sort(["len", "user_name"], descending=[True, False])
        role = pl.col("main_info_event_objects").struct.field("role").alias("role")
        roles = frame.select("main_info_event_objects").explode("main_info_event_objects").select(role).drop_nulls()
        within = col("timestamp").is_between(start, start + datetime.timedelta(minutes=10), closed="left")
        return {
            "count": lambda: self.count(True),
            "per day": lambda: sorted(frame.group_by("event_date").len().collect().rows()),
            "per user": lambda: [(n, name) for name, n in top.head(5).collect().rows()],
            "by address": lambda: self.count(col("device_client_ip") == truth.address),
            "by id": lambda: list(by_id.collect().row(0)),
            "ten minutes": lambda: self.count(within),
            "list of structs": lambda: sorted(roles.group_by("role").len().collect().rows()),
            "JSON text": lambda: self.count(col("raw_data_json").str.json_path_match("$.Workload") == "SharePoint"),
            "nulls": lambda: self.count(col("user_name").is_null()),
            "one partition": lambda: self.count(col("event_date") == truth.day),
            "columns": lambda: sorted(frame.collect_schema().names()),
        }

    def generations(self, column):
        return list(self.frame.select(self.pl.len(), self.pl.col(column).count().alias("n")).collect().row(0))


class PyArrow:
    def __init__(self, lake):
        import pyarrow
        import pyarrow.compute
        import pyarrow.dataset

        self.pa, self.pc = pyarrow, pyarrow.compute
        newest = max(glob.glob(f"{lake}/activities/**/*.parquet", recursive=True), key=columns_of)
        schema = pyarrow.parquet.read_schema(newest).append(pyarrow.field("event_date", pyarrow.date32()))
        days = pyarrow.dataset.partitioning(pyarrow.schema([("event_date", pyarrow.date32())]), flavor="hive")
        self.data = pyarrow.dataset.dataset(f"{lake}/activities", format="parquet", partitioning=days, schema=schema)

    def values(self, column, where=None):
        return self.data.to_table(columns=[column], filter=where)[column].to_pylist()

    def ask(self, truth):
        field = self.pc.field
        start = datetime.datetime.fromtimestamp(truth.from_ms / 1000, datetime.UTC)
        within = (field("timestamp") >= start) & (field("timestamp") < start + datetime.timedelta(minutes=10))

        def top():
            users = collections.Counter(name for name in self.values("user_name") if name is not None)
            return sorted(((n, name) for name, n in users.items()), key=lambda item: (-item[0], item[1]))[:5]

        def by_id():
            found = self.data.to_table(columns=["timestamp", "app_name"], filter=field("activity_id") == truth.one["_id"])
            return [round(found["timestamp"][0].as_py().timestamp() * 1000), found["app_name"][0].as_py()]

        def roles():
            things = [thing["role"] for things in self.values("main_info_event_objects") for thing in things or []]
            return sorted(collections.Counter(things).items())

        def workloads():
            texts = self.values("raw_data_json")
            return sum(text is not None and json.loads(text).get("Workload") == "SharePoint" for text in texts)

        return {
            "count": self.data.count_rows,
            "per day": lambda: sorted(collections.Counter(self.values("event_date")).items()),
            "per user": top,
            "by address": lambda: self.data.count_rows(filter=field("device_client_ip") == truth.address),
            "by id": by_id,
            "ten minutes": lambda: self.data.count_rows(filter=within),
            "list of structs": roles,
            "JSON text": workloads,
            "nulls": lambda: self.data.count_rows(filter=field("user_name").is_null()),
            "one partition": lambda: self.data.count_rows(filter=field("event_date") == truth.day),
            "columns": lambda: sorted(self.data.schema.names),
        }

    def generations(self, column):
        values = self.values(column)
        return [len(values), sum(value is not None for value in values)]


ENGINES = {"DuckDB": DuckDb, "pyarrow": PyArrow, "Polars": Polars, "DataFusion": DataFusion, "chDB": ChDb, "Spark": Spark}


def columns_of(path):
    import pyarrow.parquet

    return len(pyarrow.parquet.read_schema(path))


def grow_old(lake):
    """Writes one file without the column that the schema got last; says which column, and how many rows lack it."""
    import pyarrow.parquet

    path = max(glob.glob(f"{lake}/activities/**/*.parquet", recursive=True), key=os.path.getsize)
    table = pyarrow.parquet.ParquetFile(path).read()
    column = "ingested_at"
    pyarrow.parquet.write_table(table.drop_columns([column]), path)
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
    lake, compacted, records, columns = sys.argv[1:]
    os.environ["TZ"] = "UTC"
    time.tzset()
    truth = Truth(records, json.loads(columns))
    table = {}
    with tempfile.TemporaryDirectory() as room:
        older = os.path.join(room, "lake")
        shutil.copytree(lake, older)
        column, rows = grow_old(older)
        truth.answers["two generations"][1] = truth.answers["count"] - rows
        for name, engine in ENGINES.items():
            if name == "Spark" and "MDCA_TEST_NO_SPARK" in os.environ:
                continue
            asked = engine(lake).ask(truth)
            asked["two generations"] = lambda engine=engine: engine(older).generations(column)
            table[name] = {question: wrong(answer, asked[question]) for question, answer in truth.answers.items()}
            for question, ask in engine(compacted).ask(truth).items():
                after = wrong(truth.answers[question], ask)
                table[name][question] = table[name][question] or (after and f"compacted: {after}")
    json.dump(table, sys.stdout)


main()

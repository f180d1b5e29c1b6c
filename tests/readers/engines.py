"""What each engine makes of the questions of matrix.py: how it opens a lake, and its turns of phrase.

A lake is a folder, or s3://bucket/folder with the variables of the program. Each engine reads it as its users do: by
glob, as a folder, or as a Delta table.
"""

import collections
import datetime
import functools
import json
import os

import stores

TEN_MINUTES_MS = 600_000


def utc(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


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
        if stores.is_remote(lake):
            stores.teach(self.con)
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
        if stores.is_remote(lake):
            bucket = lake.split("/")[2]
            self.con.register_object_store("s3://", self.store(bucket), bucket)
        self.con.register_parquet("activities", f"{lake}/activities/", table_partition_cols=[("event_date", pyarrow.date32())])

    @staticmethod
    def store(bucket):
        from datafusion.object_store import AmazonS3

        return AmazonS3(
            bucket,
            endpoint=os.environ["AWS_ENDPOINT"],
            allow_http=True,
            region=os.environ["AWS_REGION"],
            access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        )

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
            f"""CREATE OR REPLACE VIEW activities AS SELECT * FROM {self.files(lake)}
                SETTINGS use_hive_partitioning = 1, schema_inference_mode = 'union'"""
        )

    @staticmethod
    def files(lake):
        if not stores.is_remote(lake):
            return f"file('{lake}/activities/**/*.parquet', Parquet)"
        url = lake.replace("s3:/", os.environ["AWS_ENDPOINT"])
        key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        return f"s3('{url}/activities/**/*.parquet', '{key}', '{secret}', Parquet)"

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


class Sail(Spark):
    """Spark's API over the Delta table, in an environment of its own (sail.txt). It takes the variables as they are."""

    def __init__(self, lake):
        self.con, _ = self.connected()
        self.frame = self.con.read.format("delta").load(lake)
        self.frame.createOrReplaceTempView("activities")

    @staticmethod
    @functools.cache
    def connected():
        """A session and its server in this process. Both are kept: a session that outlives its server does not end."""
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        server = SparkConnectServer()
        server.start()
        host, port = server.listening_address
        return SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate(), server


class Polars:
    """It takes the variables as they are."""

    def __init__(self, lake):
        import polars as pl

        self.pl = pl
        # The schema of the newest file: those of older ones lack its last columns.
        with stores.newest(lake) as file:
            newest = pl.read_parquet_schema(file)
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
        import pyarrow.parquet

        self.pa, self.pc = pyarrow, pyarrow.compute
        with stores.newest(lake) as file:
            schema = pyarrow.parquet.read_schema(file).append(pyarrow.field("event_date", pyarrow.date32()))
        days = pyarrow.dataset.partitioning(pyarrow.schema([("event_date", pyarrow.date32())]), flavor="hive")
        files, path = stores.opened(lake)
        self.data = pyarrow.dataset.dataset(
            f"{path}/activities", filesystem=files, format="parquet", partitioning=days, schema=schema
        )

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


ENGINES = {
    "DuckDB": DuckDb,
    "pyarrow": PyArrow,
    "Polars": Polars,
    "DataFusion": DataFusion,
    "chDB": ChDb,
    "Spark": Spark,
    "Sail": Sail,
}

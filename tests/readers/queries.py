"""Runs the statements of docs/queries.md in an engine, over a lake.

queries.py ENGINE DOC LAKE    ENGINE is duckdb or spark; prints a JSON list with, for each query of the page, its
                              text and its answer as a table in Markdown
"""

import datetime
import json
import os
import re
import sys
import time


def blocks(page):
    """The statements of the page in their order, each with the engine that it is for, if it is for one."""
    for kind, text in re.findall(r"^```sql ?(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield kind, text


def shown(value):
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "" if value is None else str(value)


def table(names, rows):
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(shown(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def duckdb_engine():
    import duckdb

    con = duckdb.connect()

    def query(text):
        found = con.sql(text)
        return found.columns, found.fetchall()

    return con.execute, query


def spark_engine():
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )

    def query(text):
        found = spark.sql(text)
        return found.columns, [list(row) for row in found.collect()]

    return spark.sql, query


def main():
    engine, page, lake = sys.argv[1:]
    # Spark hands out times in the zone of the process.
    os.environ["TZ"] = "UTC"
    time.tzset()
    execute, query = {"duckdb": duckdb_engine, "spark": spark_engine}[engine]()
    answers = []
    with open(page, encoding="utf-8") as file:
        text = file.read().replace("demo-lake", lake)
    for kind, block in blocks(text):
        if kind == "":
            answers.append([block.replace(lake, "demo-lake"), table(*query(block))])
        elif kind == engine:
            for statement in filter(None, map(str.strip, block.split(";\n"))):
                execute(statement.rstrip(";"))
    json.dump(answers, sys.stdout)


main()

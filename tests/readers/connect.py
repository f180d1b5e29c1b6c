"""Runs what `connect` printed: `connect.py ENGINE SCRIPT`.

Prints a JSON object: the rows of `activities` and the comment of one column. Of engines that cannot be had here
the text is parsed, and what it opens is printed.
"""

import json
import logging
import os
import sys

COUNT = "SELECT count(*) FROM activities"


def duckdb(script):
    import duckdb
    from duckdb_extensions import import_extension

    import_extension("delta")
    base = duckdb.connect()
    # The extension came as a package: there is no network to fetch it from.
    base.execute(script.replace("INSTALL delta;", ""))
    comment = "SELECT comment FROM duckdb_columns() WHERE table_name = 'activities' AND column_name = 'timestamp'"
    return {"rows": base.execute(COUNT).fetchone()[0], "comment": base.execute(comment).fetchone()[0]}


def polars(script):
    names = {}
    exec(script, names)
    return {"rows": names["activities"].collect().height, "comment": script}


def datafusion(script):
    names = {}
    exec(script, names)
    answer = names["context"].sql(COUNT).to_pydict()
    return {"rows": next(iter(answer.values()))[0], "comment": script}


def sail(script):
    """What is printed for Spark, statement by statement, through Spark's own API."""
    from engines import Sail

    session, _ = Sail.connected()
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    for statement in "\n".join(lines).split(";\n"):
        if statement.strip():
            session.sql(statement.strip().removesuffix(";"))
    return {"rows": session.sql(COUNT).collect()[0][0]}


def parsed(dialect, script):
    import sqlglot

    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    statements = [statement for statement in sqlglot.parse(script, read=dialect) if statement]
    return {"statements": [statement.sql(dialect=dialect) for statement in statements]}


engine, path = sys.argv[1:]
script = open(path).read()
answer = parsed(engine, script) if engine in ("spark", "trino") else globals()[engine](script)
print(json.dumps(answer))
sys.stdout.flush()
os._exit(0)

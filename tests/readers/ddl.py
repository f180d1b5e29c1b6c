"""Parses a table's DDL as an engine would.

ddl.py DIALECT DDL    prints a JSON object with the table's columns, those of its partitions last
"""

import json
import logging
import sys

import sqlglot
from sqlglot import exp

dialect, ddl = sys.argv[1:]
# What it does not know it takes for a command, with a warning; a call is one.
logging.getLogger("sqlglot").setLevel(logging.ERROR)
table = sqlglot.parse(ddl, read=dialect)[0]
if not isinstance(table, exp.Create) or table.args["kind"] != "TABLE":
    raise SystemExit(f"not a table: {table!r}"[:300])
partitions = table.find(exp.PartitionedByProperty)
columns = [column.name for column in table.this.expressions]
columns += [column.name for column in partitions.find_all(exp.ColumnDef) if column.name not in columns]
json.dump({"columns": columns}, sys.stdout)

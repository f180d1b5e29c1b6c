"""Writes a lake's file anew with one thing wrong, and everything else as it was.

rewrite.py FILE HARM    FILE is replaced; HARM is one of the functions below
"""

import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DAY_US = 86_400_000_000


def moved(table, column, by_us):
    """The table with one row of a column moved in time: the last, so that the order stays."""
    times = table[column].cast(pa.int64()).to_pylist()
    row = max(i for i, time in enumerate(times) if time is not None)
    times[row] += by_us
    at = table.schema.get_field_index(column)
    return table.set_column(at, table.schema.field(column), pa.array(times, pa.int64()).cast(table.schema.field(column).type))


def rewritten(table):
    return table


def unsorted(table):
    return table.take(list(range(table.num_rows - 1, -1, -1)))


def duplicate(table):
    return pa.concat_tables([table.slice(0, 1), table])


def wrong_day(table):
    return moved(table, "timestamp", 2 * DAY_US)


def outside_slice(table):
    return moved(table, "created", 3 * DAY_US)


def row_missing(table):
    return table.slice(0, table.num_rows - 1)


def column_missing(table):
    return table.drop_columns(["user_name"])


def column_other_type(table):
    at = table.schema.get_field_index("event_type")
    return table.set_column(at, "event_type", table["event_type"].cast(pa.string()))


def column_unknown(table):
    return table.append_column("extra", pa.array([1] * table.num_rows))


def footer(table):
    return table.replace_schema_metadata(dict(table.schema.metadata) | {b"mdca.slice": b"20200101T0000Z-20200101T0100Z"})


def unsealed_order(table):
    return table


def main():
    path, harm = sys.argv[1:]
    file = pq.ParquetFile(path)
    sorting = list(file.metadata.row_group(0).sorting_columns)
    table = file.read()
    harmed = globals()[harm](table)
    if harm != "footer":
        harmed = harmed.replace_schema_metadata(table.schema.metadata)
    if harm in ("column_missing", "column_unknown", "column_other_type", "unsealed_order"):
        sorting = None
    pq.write_table(harmed, path, compression="zstd", sorting_columns=sorting)


main()

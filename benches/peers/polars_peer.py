"""Polars: a lazy scan of the lines into files by day, streamed as far as it can."""

import os
import sys

os.environ["POLARS_MAX_THREADS"] = "2"
import polars as pl  # noqa: E402: the number of threads is read on import
import shape

LEAVES = {
    "string": pl.String, "json": pl.String, "int64": pl.Int64, "time": pl.Int64, "double": pl.Float64,
    "bool": pl.Boolean, "string_list": pl.List(pl.String),
}

fields = shape.render(shape.of_record(), LEAVES, pl.Struct, pl.List)
source, out = sys.argv[1:]
day = pl.from_epoch("timestamp", time_unit="ms").dt.date().alias("event_date")
pl.scan_ndjson(source, schema=dict(fields)).with_columns(day).sink_parquet(
    pl.PartitionBy(out, key="event_date", include_key=False),
    compression="zstd",
    compression_level=1,
    mkdir=True,
)

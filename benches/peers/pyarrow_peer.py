"""pyarrow: its JSON reader, which cannot keep an object as text, so free-form objects are left out."""

import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.json as pj
import shape

LEAVES = {
    "string": pa.string(), "int64": pa.int64(), "time": pa.int64(), "double": pa.float64(),
    "bool": pa.bool_(), "string_list": pa.list_(pa.string()), "json": None,
}


def struct(fields):
    return pa.struct({name: kind for name, kind in fields.items() if kind is not None})


fields = shape.render(shape.of_record(), LEAVES, struct, pa.list_)
source, out = sys.argv[1:]
pa.set_cpu_count(2)
table = pj.read_json(
    source,
    read_options=pj.ReadOptions(block_size=16 << 20),
    parse_options=pj.ParseOptions(
        explicit_schema=pa.schema(list(fields)),
        unexpected_field_behavior="ignore",
    ),
)
day = pc.cast(pc.cast(table["timestamp"], pa.timestamp("ms")), pa.date32())
ds.write_dataset(
    table.append_column("event_date", day),
    out,
    format="parquet",
    partitioning=ds.partitioning(pa.schema([("event_date", pa.date32())]), flavor="hive"),
    file_options=ds.ParquetFileFormat().make_write_options(compression="zstd", compression_level=1),
)

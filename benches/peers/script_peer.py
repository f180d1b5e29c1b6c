"""What the service's documentation shows, a list of dictionaries, and pyarrow behind it."""

import json
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import shape

LEAVES = {
    "string": pa.string(), "json": pa.string(), "int64": pa.int64(), "time": pa.int64(),
    "double": pa.float64(), "bool": pa.bool_(), "string_list": pa.list_(pa.string()),
}

record_shape = shape.of_record()
fields = shape.render(record_shape, LEAVES, pa.struct, pa.list_)
free_form = [key for key, below in record_shape.items() if below == "json"]
source, out = sys.argv[1:]
records = []
with open(source) as lines:
    for line in lines:
        record = json.loads(line)
        for key in free_form:
            if key in record:
                record[key] = json.dumps(record[key], ensure_ascii=False)
        records.append(record)
table = pa.Table.from_pylist(records, schema=pa.schema(list(fields)))
day = pc.cast(pc.cast(table["timestamp"], pa.timestamp("ms")), pa.date32())
ds.write_dataset(
    table.append_column("event_date", day),
    out,
    format="parquet",
    partitioning=ds.partitioning(pa.schema([("event_date", pa.date32())]), flavor="hive"),
    file_options=ds.ParquetFileFormat().make_write_options(compression="zstd", compression_level=1),
)

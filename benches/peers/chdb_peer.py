"""ClickHouse in the process: one file a day."""

import sys

import chdb
import shape

LEAVES = {
    "string": "Nullable(String)", "json": "Nullable(String)", "int64": "Nullable(Int64)",
    "time": "Nullable(Int64)", "double": "Nullable(Float64)", "bool": "Nullable(Bool)",
    "string_list": "Array(String)",
}


def struct(fields):
    return "Tuple(" + ", ".join(f"`{name}` {kind}" for name, kind in fields.items()) + ")"


structure = ", ".join(
    f"`{key}` " + shape.render(below, LEAVES, struct, lambda item: f"Array({item})")
    for key, below in shape.of_record().items()
)
source, out = sys.argv[1:]
chdb.query(
    f"""
    insert into function file('{out}/event_date={{_partition_id}}/part.parquet', 'Parquet')
    partition by toString(toDate(intDiv(timestamp, 1000)))
    select * from file('{source}', 'JSONEachRow', '{structure}')
    settings max_threads = 2, max_insert_threads = 2, input_format_skip_unknown_fields = 1,
        input_format_json_read_objects_as_strings = 1, input_format_null_as_default = 1,
        output_format_parquet_compression_method = 'zstd', output_format_compression_level = 1
    """
)

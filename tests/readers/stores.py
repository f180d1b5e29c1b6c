"""Where a lake lies: a folder, or s3://bucket/folder with the variables of the program."""

import os

import pyarrow.fs
import pyarrow.parquet


def is_remote(lake):
    return "://" in lake


def host():
    """Endpoint of the variables without its scheme, which is http."""
    return os.environ["AWS_ENDPOINT"].removeprefix("http://")


def opened(lake):
    """The file system of a lake to pyarrow, and the lake's path there."""
    if not is_remote(lake):
        return pyarrow.fs.LocalFileSystem(), lake
    # Unasked, it sends checksums in a form that Ceph 16 refuses.
    os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
    store = pyarrow.fs.S3FileSystem(
        endpoint_override=host(),
        scheme="http",
        region=os.environ["AWS_REGION"],
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    return store, lake.split("://")[1]


def teach(duck):
    """Has a connection of DuckDB reach the store."""
    import duckdb_extensions

    duckdb_extensions.import_extension("httpfs", con=duck)
    duck.execute("LOAD httpfs")
    duck.execute(
        f"""CREATE SECRET (TYPE s3, ENDPOINT '{host()}', URL_STYLE 'path', USE_SSL false,
            REGION '{os.environ["AWS_REGION"]}', KEY_ID '{os.environ["AWS_ACCESS_KEY_ID"]}',
            SECRET '{os.environ["AWS_SECRET_ACCESS_KEY"]}')"""
    )


def below(files, folder):
    found = files.get_file_info(pyarrow.fs.FileSelector(folder, recursive=True))
    return [info for info in found if info.is_file]


def newest(lake):
    """The file with the most columns, opened: those of older programs lack the last ones."""
    files, path = opened(lake)

    def columns(info):
        return len(pyarrow.parquet.read_schema(info.path, filesystem=files))

    return files.open_input_file(max(below(files, f"{path}/activities"), key=columns).path)

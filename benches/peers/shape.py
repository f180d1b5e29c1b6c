"""The shape of a record, from the schema that the program itself goes by.

Left to find the types themselves, none of the others reads these records: keys that differ by case
only, and free-form objects that are a list elsewhere, end them. So they are given what is known. Keys
that the schema does not know they drop, and a value of another type they lose or stop at, where
mdca-lake keeps both.
"""

import json
import pathlib

SCHEMA = pathlib.Path(__file__).resolve().parent.parent.parent / "schemas/activity.v1.json"


def of_columns(columns):
    """Nested dictionaries; a leaf is its type's name, and a list of objects a list of one shape."""
    shape = {}
    for column in columns:
        *above, key = (column.get("path") or "").split(".")
        if not key:
            continue
        place = shape
        for name in above:
            place = place.setdefault(name, {})
        place[key] = [of_columns(column["items"])] if "items" in column else column["type"]
    return shape


def of_record():
    return of_columns(json.loads(SCHEMA.read_text())["columns"])


def render(shape, leaves, struct, list_of):
    """The shape in a program's own words."""
    if isinstance(shape, dict):
        return struct({key: render(below, leaves, struct, list_of) for key, below in shape.items()})
    if isinstance(shape, list):
        return list_of(render(shape[0], leaves, struct, list_of))
    return leaves[shape]

"""Holds what commands said against the JSON Schemas in schemas/, with a validator that is not ours.

schemas.py FOLDER       every line of stdin is the name of a schema, a tab and a document; prints what is wrong, one
                        line each. A member that its schema does not know is wrong, too: readers of reports are told
                        to pass over those, but here each has to be described
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator


def closed(schema):
    """The schema, with no members beside those that it describes."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


validators = {}
for path in Path(sys.argv[1]).glob("*.schema.json"):
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    validators[path.name.split(".")[0]] = Draft202012Validator(closed(schema))

for number, line in enumerate(sys.stdin):
    name, document = line.rstrip("\n").split("\t", 1)
    for error in validators[name].iter_errors(json.loads(document)):
        print(f"{number} {name} {error.json_path}: {error.message[:300]}")

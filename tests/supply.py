"""Checks the dependencies against deny.toml without a network: licences, sources, bans.

    python3 tests/supply.py [metadata.json]

Says what is wrong, one line each, and ends with 1 if anything is. Without a file it asks cargo.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def metadata(target):
    """The packages that a build for a target takes in."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)


def is_allowed(expression, allowed):
    """Whether an SPDX expression can be met with the licences that are allowed."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def one():
        nonlocal at
        token = tokens[at]
        at += 1
        if token == "(":
            met = either()
            at += 1
            return met
        if tokens[at : at + 1] == ["WITH"]:
            token += f" WITH {tokens[at + 1]}"
            at += 2
        return token in allowed

    def both():
        nonlocal at
        met = one()
        while tokens[at : at + 1] == ["AND"]:
            at += 1
            met = one() and met
        return met

    def either():
        nonlocal at
        met = both()
        while tokens[at : at + 1] == ["OR"]:
            at += 1
            met = both() or met
        return met

    return either()


def findings(packages, rules):
    registries = {f"registry+{url}" for url in rules["sources"]["allow-registry"]}
    versions = {}
    for package in packages:
        name = f"{package['name']} {package['version']}"
        versions.setdefault(package["name"], []).append(package["version"])
        if not package["license"]:
            yield f"{name}: no licence is named"
        elif not is_allowed(package["license"], set(rules["licenses"]["allow"])):
            yield f"{name}: licence {package['license']}"
        if package["source"] and package["source"] not in registries:
            yield f"{name}: source {package['source']}"
    for ban in rules["bans"]["deny"]:
        found = versions.get(ban["crate"], [])
        if len(found) > 1 if ban.get("deny-multiple-versions") else found:
            yield f"{ban['crate']}: banned, and here in {', '.join(found)}"


def main(arguments):
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    if arguments:
        packages = json.loads(Path(arguments[0]).read_text())["packages"]
    else:
        packages = metadata(rules["graph"]["targets"][0])["packages"]
    wrong = sorted(findings(packages, rules))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

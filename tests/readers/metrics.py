"""Reads metrics, alerts and dashboards with parsers that are not ours.

metrics.py text FILE          the samples of a text of Prometheus, as JSON: [name, labels, value]
metrics.py alerts FILE        of each rule of a file of alerts: its name, its labels, and what its expression names
metrics.py dashboard FILE     the same of each panel of a Grafana dashboard
"""

import json
import re
import sys

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families


def text(content):
    samples, seen = [], set()
    for family in text_string_to_metric_families(content):
        assert family.documentation and family.type == "gauge", family
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in seen, f"twice: {key}"
            seen.add(key)
            samples.append([sample.name, sample.labels, sample.value])
    return samples


def named(expression):
    """The metrics that an expression names; it is one that Prometheus takes."""
    return sorted(set(re.findall(r"mdca_lake_\w+", promql_parser.parse(expression).prettify())))


def alerts(content):
    rules = [rule for group in yaml.safe_load(content)["groups"] for rule in group["rules"]]
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
    return [[rule["alert"], rule["labels"], rule["annotations"], named(rule["expr"])] for rule in rules]


def dashboard(content):
    panels = json.loads(content)["panels"]
    # Grafana puts the variables in before Prometheus reads it.
    expressions = [[target["expr"] for target in panel["targets"]] for panel in panels]
    named_by = [sorted({name for each in of for name in named(each.replace("$lake", ".*"))}) for of in expressions]
    return [[panel["title"], panel["gridPos"], panel["id"], names] for panel, names in zip(panels, named_by)]


with open(sys.argv[2], encoding="utf-8") as file:
    read = {"text": text, "alerts": alerts, "dashboard": dashboard}[sys.argv[1]](file.read())
json.dump(read, sys.stdout)

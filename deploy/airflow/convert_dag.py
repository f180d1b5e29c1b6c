"""Converts saved files with eight mapped tasks, each of which takes its share of them.

A task that failed can be cleared and run again: what is committed is skipped. The workers need `mdca-lake` on their
path, and the store's credentials (AWS_*, AZURE_* or GOOGLE_*) in their environment.
"""

import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

SHARES = 8
INPUTS = "s3://my-bucket/saved/"
LAKE = "s3://my-bucket/converted"

with DAG(
    dag_id="mdca_lake_convert",
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
    catchup=False,
):
    BashOperator.partial(
        task_id="convert",
        bash_command='exec mdca-lake convert "$MDCA_INPUTS" --report json --log-format json',
        append_env=True,
        # The report is in the task's log and in the lake; a part of it in Airflow's database helps nobody.
        do_xcom_push=False,
        retries=3,
    ).expand(
        env=[
            {"MDCA_INPUTS": INPUTS, "MDCA_LAKE": LAKE, "MDCA_SHARD": f"{share}/{SHARES}"}
            for share in range(SHARES)
        ]
    )

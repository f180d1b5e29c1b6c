"""Scans every tenant once an hour: one task for each, with a lake of its own.

A task that fails is left to the next hour, which goes on where it stopped. The workers need `mdca-lake` on their path; the
client secrets are Airflow variables, `mdca_secret_<tenant>`, and reach the program by its environment only.
"""

import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

CLIENT_ID = "00000000-0000-0000-0000-000000000000"
TENANTS = {
    "contoso": "https://contoso.eu2.portal.cloudappsecurity.com",
    "fabrikam": "https://fabrikam.us3.portal.cloudappsecurity.com",
}

with DAG(
    dag_id="mdca_lake_scan",
    schedule="20 * * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
    catchup=False,
    max_active_runs=1,
):
    for tenant, api_url in TENANTS.items():
        BashOperator(
            task_id=tenant,
            bash_command="exec mdca-lake scan --report json --log-format json",
            env={
                "MDCA_API_URL": api_url,
                "MDCA_LAKE": f"s3://my-bucket/mdca/{tenant}",
                "MDCA_ENTRA_TENANT": f"{tenant}.onmicrosoft.com",
                "MDCA_CLIENT_ID": CLIENT_ID,
                "MDCA_CLIENT_SECRET": f"{{{{ var.value.mdca_secret_{tenant} }}}}",
            },
            append_env=True,
            # The report is in the task's log and in the lake; a part of it in Airflow's database helps nobody.
            do_xcom_push=False,
            retries=0,
        )

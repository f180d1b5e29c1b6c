#!/usr/bin/env bash
# moto's S3 on loopback, with signatures checked.
#
#   moto.sh FOLDER VENV     FOLDER is made anew; VENV has moto[s3], flask, flask-cors and boto3
#
# Prints `endpoint,access key,secret` as a variable; the process id stands in FOLDER/pids.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
D=$(realpath -m "$1")
venv=$2
rm -rf "$D"
mkdir -p "$D"
port=$("$venv/bin/python" "$here/free_ports.py" 1)
endpoint=http://127.0.0.1:$port
# The first four requests make the user; from then on signatures count.
INITIAL_NO_AUTH_ACTION_COUNT=4 setsid "$venv/bin/python" "$here/moto_server.py" "$port" >"$D/log" 2>&1 </dev/null &
echo $! >"$D/pids"
for try in $(seq 80); do
    curl -s -o /dev/null "$endpoint/moto-api/" && break
    sleep 0.1
    [ "$try" -lt 80 ] || { tail -n 5 "$D/log" >&2; exit 1; }
done
read -r access_key secret < <("$venv/bin/python" - "$endpoint" <<'PYTHON'
import json
import sys

import boto3

iam = boto3.client(
    "iam", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
)
iam.create_user(UserName="owner")
everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
arn = iam.create_policy(PolicyName="everything", PolicyDocument=document)["Policy"]["Arn"]
iam.attach_user_policy(UserName="owner", PolicyArn=arn)
key = iam.create_access_key(UserName="owner")["AccessKey"]
print(key["AccessKeyId"], key["SecretAccessKey"])
PYTHON
)
"$venv/bin/python" "$here/buckets.py" "$endpoint" "$access_key" "$secret" lakes
echo "MDCA_TEST_S3_MOTO=$endpoint,$access_key,$secret"

"""Prints the keys of unfinished uploads, one a line: uploads.py ENDPOINT ACCESS_KEY SECRET BUCKET PREFIX"""

import sys

import boto3

endpoint, access_key, secret, bucket, prefix = sys.argv[1:6]
s3 = boto3.client(
    "s3",
    endpoint_url=endpoint,
    aws_access_key_id=access_key,
    aws_secret_access_key=secret,
    region_name="us-east-1",
)
for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
    for upload in page.get("Uploads", []):
        if upload["Key"].startswith(prefix + "/"):
            print(upload["Key"])

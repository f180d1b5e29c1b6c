"""Makes buckets.

buckets.py ENDPOINT ACCESS_KEY SECRET BUCKET[=READER]...    READER may list and read, and nothing else
"""

import json
import sys

import boto3

endpoint, access_key, secret = sys.argv[1:4]
s3 = boto3.client(
    "s3",
    endpoint_url=endpoint,
    aws_access_key_id=access_key,
    aws_secret_access_key=secret,
    region_name="us-east-1",
)
for argument in sys.argv[4:]:
    bucket, _, reader = argument.partition("=")
    s3.create_bucket(Bucket=bucket)
    if reader:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam:::user/{reader}"]},
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))

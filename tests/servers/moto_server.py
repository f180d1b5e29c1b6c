"""moto's S3 on loopback, which puts one object at a time.

moto_server.py PORT

Each request has a thread of its own, and moto looks whether a name is free before it writes: of two
that create the same object at once, both may be told that they did. No store that keeps its word on
`If-None-Match: *` does that, so putting an object stands under a lock.
"""

import sys
import threading

from moto.s3.responses import S3Response
from moto.server import main

put_object = S3Response.put_object
one_at_a_time = threading.Lock()


def put_object_alone(self):
    with one_at_a_time:
        return put_object(self)


S3Response.put_object = put_object_alone
main(["-H", "127.0.0.1", "-p", sys.argv[1]])

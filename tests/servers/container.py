"""Makes a container: container.py ENDPOINT ACCOUNT KEY CONTAINER (ENDPOINT ends in the account's name)."""

import base64
import hashlib
import hmac
import sys
import urllib.request
from email.utils import formatdate

endpoint, account, key, container = sys.argv[1:5]
date, version = formatdate(usegmt=True), "2021-08-06"
# Method, eleven standard headers (all empty here), our own headers, the resource.
to_sign = "PUT" + 12 * "\n" + f"x-ms-date:{date}\nx-ms-version:{version}\n"
to_sign += f"/{account}/{account}/{container}\nrestype:container"
signed = hmac.new(base64.b64decode(key), to_sign.encode(), hashlib.sha256).digest()
request = urllib.request.Request(
    f"{endpoint}/{container}?restype=container",
    method="PUT",
    headers={
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {account}:{base64.b64encode(signed).decode()}",
    },
)
urllib.request.urlopen(request).close()

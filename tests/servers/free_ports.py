"""Prints for each argument the first of so many free loopback ports in a row."""

import random
import socket
import sys


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


taken = set()
found = []
for length in map(int, sys.argv[1:]):
    while True:
        first = random.randrange(20000, 32000)  # below the ports that connections get
        row = range(first, first + length)
        if not taken.intersection(row) and all(map(is_free, row)):
            break
    taken.update(row)
    found.append(str(first))
print(" ".join(found))

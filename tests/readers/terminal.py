"""Runs a command in a terminal of its own, and prints what came to the terminal, as JSON.

terminal.py COLUMNS ROWS SIGNAL_AFTER COMMAND…
                        SIGNAL_AFTER is a text: once it came, Ctrl-C is pressed; where it is empty, nothing is.
                        stdout of the command goes elsewhere: only stderr is a terminal
"""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

columns, rows, after, *command = sys.argv[1:]
main, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))


def take_terminal():
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


child = subprocess.Popen(
    command, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, preexec_fn=take_terminal, env={**os.environ, "TERM": "xterm"}
)
os.close(terminal)
came, pressed = b"", not after
while True:
    try:
        some = os.read(main, 65536)
    except OSError:
        break
    if not some:
        break
    came += some
    if not pressed and after.encode() in came:
        os.write(main, b"\x03")
        pressed = True
report = child.stdout.read().decode()
json.dump({"code": child.wait(), "terminal": came.decode(), "stdout": report}, sys.stdout)

"""Has a command carried out at the door of `warm_commands`, and ends as it does.

`python -I -S warm_client.py DOOR ARGUMENT…`. It imports next to nothing, since that is its point.
"""

import _socket
import array
import os
import sys

door, *words = map(os.fsencode, sys.argv[1:])
variables = [b"%s=%s" % each for each in os.environb.items()]
folder = os.getcwdb()  # noqa: PTH109 - pathlib takes as long to import as all the rest
request = b"\0".join([folder, b"%d" % len(words), *words, *variables])
streams = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
connection.connect(door)
connection.sendmsg([request], [streams])
connection.recv(32)  # which process it is
code = int(connection.recv(32))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)

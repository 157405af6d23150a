"""The first process of a verifier's run: the kit's own Python, so that a machine whose shell an agent broke says so itself.

Arguments: a marker to begin the output with, the working directory, the script.
"""

import os
import sys

marker, directory, script = sys.argv[1:]
os.dup2(1, 2)
os.write(1, marker.encode())
try:
    os.chdir(directory)
except OSError as error:
    os.write(1, f"asclaimed: the working directory is gone: {error}\n".encode())
try:
    os.execv("/bin/bash", ["bash", script])  # noqa: S606 - the file is the task's own script
except OSError as error:
    sys.exit(f"asclaimed: this machine has no bash that starts: {error}")

"""in_turn.py MODULE:FUNCTION ARGS... -- ARGS...: call it once for each list, with one import.

Importing nova takes seconds; each call gets a fork of the process that has imported it.
"""

import importlib
import os
import sys

module, _, function = sys.argv[1].partition(":")
calls = [[]]
for argument in sys.argv[2:]:
    if argument == "--":
        calls.append([])
    else:
        calls[-1].append(argument)
main = getattr(importlib.import_module(module), function)
for arguments in calls:
    child = os.fork()
    if child == 0:
        sys.argv = [module, *arguments]
        sys.exit(main())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        sys.exit(f"{module} {' '.join(arguments)}: {code}")

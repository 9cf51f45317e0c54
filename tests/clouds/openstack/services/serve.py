"""serve.py MODULE PORT THREADS: serve MODULE.application on 127.0.0.1 with waitress."""

import importlib
import sys

import waitress

module, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.argv = [module]  # nova and neutron parse it when they are imported
waitress.serve(
    importlib.import_module(module).application,
    host="127.0.0.1",
    port=port,
    threads=threads,
    clear_untrusted_proxy_headers=True,
    ident=None,
    channel_timeout=600,
    # At the limit (by default 100) a server accepts nobody until a connection has been idle for
    # the time above: every service and every test keeps some open.
    connection_limit=1000,
    asyncore_use_poll=True,  # select() knows no file beyond the 1024th
)

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
)

"""What all tests share."""

from __future__ import annotations

import signal

from hypothesis import settings

# No deadline: a busy machine must not fail a test. Derandomised: the same run each time.
settings.register_profile("dacirco", deadline=None, derandomize=True)
settings.load_profile("dacirco")

# A shell's background job ignores SIGINT, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

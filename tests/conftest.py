"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a busy machine must not fail a test. Derandomised: the same run each time.
settings.register_profile("dacirco", deadline=None, derandomize=True)
settings.load_profile("dacirco")

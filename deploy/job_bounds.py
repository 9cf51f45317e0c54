"""How long and how many what clients give with a job may be; front end and controller agree."""

from __future__ import annotations

from typing import Final

MOST_LABELS: Final = 16
MOST_LABEL_VALUE: Final = 200
"""Characters."""
LABEL_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"
"""As a regular expression."""
MOST_KEY: Final = 255
"""Characters of an idempotency key."""
LAST_TIME: Final = 2.0**33
"""Of a deadline, seconds since the epoch: in the year 2242."""
MOST_URL: Final = 1000
"""Characters of a webhook's URL."""

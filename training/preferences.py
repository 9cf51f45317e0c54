"""Where on the operator's dial policies are compared."""

from typing import Final

PREFERENCES: Final = (0.1, 0.33, 0.5, 0.67, 0.9)
"""From the lean end to the fast one."""

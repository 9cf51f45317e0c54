"""Does the simulator behave as the measured cluster did, and does a profile still describe it."""

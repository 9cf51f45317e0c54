"""The embedded service run for real under several policies, beside the simulator's prediction."""

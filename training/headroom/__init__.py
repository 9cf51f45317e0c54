"""``python -m training.headroom``: what looking ahead could still win over a policy."""

"""Who decides: the policy interface, the naive algorithms, their rivals, and the registry."""

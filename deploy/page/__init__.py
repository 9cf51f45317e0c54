"""The live page: what the controller tells it, what the Job API serves, and its files."""

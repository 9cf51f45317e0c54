"""Replay of an event log: every state again, and what any policy would have decided in it."""

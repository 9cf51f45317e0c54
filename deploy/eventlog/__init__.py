"""The event log that the controller writes."""

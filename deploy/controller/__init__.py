"""The controller: the scheduler's way to clients, workers, clouds and the disk."""

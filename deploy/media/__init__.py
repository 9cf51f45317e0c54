"""Videos: what a file holds, the command that transcodes it, and whether a result is whole."""

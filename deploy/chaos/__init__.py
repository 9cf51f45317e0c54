"""Kills the parts of an embedded service at random times and checks that nothing is lost."""

"""Telling a client's own server that its job has ended: signed, tried again, kept in the store."""

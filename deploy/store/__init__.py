"""The store: what must survive the controller, in SQLite or PostgreSQL."""

"""Programs that make tables of event logs."""

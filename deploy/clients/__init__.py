"""Programs that speak to the Job API: players of scenarios and the monitor."""

"""What the study finds, part by part; each part runs the simulator and returns its figures."""

"""Learning and proof: train, evaluate, calibrate, validate, benchmark."""

"""When jobs are expected to be complete, with an interval whose calibration is measured."""

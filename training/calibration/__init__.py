"""Fitting a profile's timing to measured runs of the real cluster."""

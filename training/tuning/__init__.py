"""Tuning the rules: what is varied, what a trial costs, and the file of the best."""

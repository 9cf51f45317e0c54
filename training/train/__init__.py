"""``python -m training.train``: train one network, from the first rule to the frozen policy."""

"""How fast the simulator and the training are (``python -m training.bench``)."""

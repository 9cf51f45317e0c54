"""What every program that listens needs of its system: sockets, limits, and doors that are kept."""

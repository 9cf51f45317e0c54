"""The simulated transcoding cluster: state, workloads, simulator, Gymnasium environment."""

"""Workers as pods of a Kubernetes namespace."""

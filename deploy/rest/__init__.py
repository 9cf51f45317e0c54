"""The Job API: what clients speak over HTTP, handed to the controller over gRPC."""

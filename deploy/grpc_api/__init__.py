"""The gRPC contract: `dacirco.proto` and the code that `grpc_tools` generates from it."""

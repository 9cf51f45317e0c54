"""The live service: controller, Job API, workers and the tools around them."""

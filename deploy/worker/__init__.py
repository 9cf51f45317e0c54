"""The transcoding worker: takes tasks from the controller, one at a time."""

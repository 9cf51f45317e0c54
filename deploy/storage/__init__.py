"""Where videos are kept: an S3 bucket or a folder, behind one interface."""

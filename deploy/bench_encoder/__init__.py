"""The encoder bench: how long this machine transcodes, by picture, speed, bitrate and threads."""

"""The whole service on one machine: what ``python -m deploy.up`` starts and keeps running."""

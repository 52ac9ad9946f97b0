"""The labeling service over HTTP, under /v1."""

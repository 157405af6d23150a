"""Sandboxes and images on a Docker daemon. Nothing outside this folder imports `docker`."""

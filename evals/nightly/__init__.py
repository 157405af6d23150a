"""Watching a nightly run: what is made again, tonight's evidence against a baseline, and the exit code."""

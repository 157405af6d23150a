"""A machine that fails in the middle of grading: `python -m tests.disturbances`."""

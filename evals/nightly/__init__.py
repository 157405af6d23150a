"""Watching one model night after night: what is made again, tonight's evidence against a baseline, and the exit code.

For `report` and `commands`. Not covered: starting the night (cron or CI does), and why something got worse.
"""

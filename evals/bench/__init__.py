"""What asclaimed itself costs: measured beside `docker exec` and mini-swe-agent, in one run, on one machine.

Not covered: the model's own time (a scripted server answers at once).
"""

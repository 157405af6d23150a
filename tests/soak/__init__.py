"""A bad night in small: the real queue, client and scaffold, killed, starved of disk and cut off, against servers of ours.

After every fault the run is resumed, and its report must be that of an undisturbed run, times aside. `small` is that
run, on machines that are none; `weather` is what happens around it and `killed` what happens to it; `containers` kills
the command line itself, with real containers. Without faults: `flat` is what must not grow, `crowded` a server that
more make slower. `python -m tests.soak` is the full sweep, tests/test_soak.py takes a sample of it.
"""

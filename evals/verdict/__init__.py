"""From results to a verdict: `verify` against a claim, `compare` between systems, and the plan that either takes.

For `commands`, `report` and `calibrate`. The formulas are in `stats`; here is which of them answers which question, and every
reason why there is no answer. Not covered: why a claim is not reproduced; what differs in protocol is listed beside it.
"""

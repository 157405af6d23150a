"""From scores to a verdict: `verify` against a claim, `compare` between systems, and the plan that either takes."""

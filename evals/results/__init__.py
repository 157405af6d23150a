"""What the records and grades of a run directory amount to: rows, scores with bounds, failure classes."""

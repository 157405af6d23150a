"""Statistics: pure functions of arrays. Each says what it assumes and where it comes from; randomness is a parameter.

Rates are fractions in [0, 1] in here; percent is made where people read. No file of a run is opened in this package. For every
room after it; not covered: which method answers a user's question (`verdict`).
"""

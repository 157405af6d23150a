"""Making the attempts: the plan and its manifest, the queue, one attempt, and what each leaves on disk.

Everything that reads a run directory imports its formats from here (`manifest`, `plan`, `ledger`). A run is given its
machines (`tasks.backend`), its grader and its executor, and knows no implementation of them. Not covered: what an attempt is worth.
"""

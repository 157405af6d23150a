"""What to solve and where: tasks, the catalog that finds them, images and sandboxes.

Imports nothing of `scaffolds` or `evals`, which both import it. `sandbox` and `backend` are the contracts of a machine.
"""

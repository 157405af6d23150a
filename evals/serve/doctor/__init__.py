"""What a model server really does, found by asking it: what would bend a score or cost a night, and what mends it.

    examination = examine(config, Form.FULL)      # findings, and measurements in tokens and seconds

Run against llama-server; the other servers' ways are tested by recorded shapes and a scripted server only. Not covered:
quality of the weights, and what changes after the look (`evals.run.same_server` watches that).
"""

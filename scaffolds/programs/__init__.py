"""Agent programs of others, run inside the sandbox: a YAML file says how, `gateway` is the model that they meet there.

The container has no network. The program asks 127.0.0.1 in it, and the host answers with the model that any scaffold has, so
that retries, attribution and the recording are the same. Not covered: programs that speak neither chat completions nor responses.
"""

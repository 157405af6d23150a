"""A genuine llama-server with a small real model, on this machine: what demo and CI measure against. `doctor/` looks at any server.

    with ensure_server("0.5b") as server:
        ...  # server.base_url, server.model_name

Not covered: other servers (give `asclaimed run` their base URL), GPUs, and models that are not GGUF files.
"""

from evals.serve.server import ServerHandle, ensure_server, stop_servers

__all__ = ["ServerHandle", "ensure_server", "stop_servers"]

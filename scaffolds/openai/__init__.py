"""The client for any OpenAI-compatible server: `client` talks, `probe` asks a server who it is, `config` is what a plan says.

Nothing outside this folder imports `openai`. Scaffolds see `scaffolds.model` alone and never this folder; runs and commands
import it. Not covered: anything but chat completions.
"""

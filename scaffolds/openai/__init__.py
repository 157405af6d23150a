"""The client for any OpenAI-compatible server. Nothing outside this folder imports `openai`."""

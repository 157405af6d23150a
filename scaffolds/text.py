"""What a model is shown of a text that may be long."""

from __future__ import annotations

from tasks.untrusted import clean

LONGEST_OBSERVATION = 16_000
"""Characters; enough for a file of 400 lines, small enough for a window of 32k tokens."""


def cap(text: str, limit: int = LONGEST_OBSERVATION) -> str:
    """Head and tail of a long text, with the number of characters left out between them."""
    text = clean(text)
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"

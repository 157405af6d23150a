"""Who answers behind an address: the names that its answers bear, and what it says to a fixed prompt at temperature 0.

The same model under the same server says the same; another one hardly ever does. A server whose greedy answers vary
(with what else is in the batch) has no canary: only its names tell then. Not covered: a swap between two models that
call themselves alike and say the same two dozen tokens.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from scaffolds.model import ContextOverflow, ModelError, Reply, Served, TimeUp
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import Deadlines, ModelConfig, Retries
from scaffolds.openai.transport import sdk_client
from scaffolds.sampling import Sampling

PROMPT = "Describe a harbour in the early morning in one sentence."
TOKENS = 24
DEADLINES = Deadlines(first_byte=60, silence=30, total=120)
AT_ONCE = 4
"""A batch may round otherwise than one request does: both must say the same."""


class Canary(NamedTuple):
    """What came of it."""

    served: tuple[Served, ...] = ()
    """Each way in which the answers were signed: more than one, and two servers share the address."""
    text: str | None = None
    """None where the answers vary, or where there is none."""


def canary(config: ModelConfig, *, at_once: int = AT_ONCE) -> Canary:
    """Ask once alone and then several at once. Raises nothing: a server that does not answer says nothing."""
    sampling = Sampling(temperature=0, max_tokens=TOKENS, extra=config.sampling.extra)
    short = config.model_copy(
        update={"sampling": sampling, "deadlines": DEADLINES, "retries": Retries(attempts=1)}
    )
    with sdk_client(short) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        models = [OpenAIModel(short, client=client) for _ in range(at_once + 1)]
        replies = [_ask(models[0])]
        if replies[0] is not None:
            replies += pool.map(_ask, models[1:])
    heard = [reply for reply in replies if reply is not None]
    said = {reply.reasoning + reply.content for reply in heard}
    same = len(said) == 1 and len(heard) == len(replies)
    return Canary(tuple(dict.fromkeys(reply.served for reply in heard)), said.pop() if same else None)


def _ask(model: OpenAIModel) -> Reply | None:
    try:
        return model.complete([{"role": "user", "content": PROMPT}])
    except (ModelError, ContextOverflow, TimeUp):
        return None

"""The servers we know, as data: how each is recognised, where it keeps its facts, how it words an overflow, what mends it.

`probe` reads facts by this table, `errors` the words, `evals.serve.doctor` metrics and cures. A new server is a new row.
Recorded shapes and documentation are the source for all but llama-server, which tests really run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

GENERIC = "unknown"


class Place(NamedTuple):
    """Where a fact stands: a page, and the way into it; `*` is the entry of a list that is about our model."""

    page: str
    way: str


class Dialect(NamedTuple):
    """One kind of server."""

    name: str
    signs: tuple[Place, ...] = ()
    """Any of these is found on this server alone, in the order of the table."""
    owner: str = ""
    """`owned_by` in its list of models."""
    facts: Mapping[str, Place] = {}
    """Field of `ServerFacts` → place; on top of what `/v1/models` says, which is alike everywhere."""
    metrics: Mapping[str, tuple[str, ...]] = {}
    """Where `/metrics` has the number of running and waiting requests, what the KV cache holds and how full it is,
    preemptions: the first place that is there, a `name`, or labels of one (`name{one*other}`, multiplied)."""
    overflow: tuple[str, ...] = ()
    """Regular expressions of what it says where a conversation does not fit."""
    cures: Mapping[str, str] = {}
    """Problem (`evals.serve.doctor.finding`) → what mends it, where the general advice can be more exact."""


LLAMA_SERVER = Dialect(
    name="llama-server",
    signs=(Place("/props", "default_generation_settings"),),
    facts={
        "version": Place("/props", "build_info"),
        "window": Place("/props", "default_generation_settings.n_ctx"),
        "slots": Place("/props", "total_slots"),
        "quantization": Place("/props", "model_ftype"),
        "model_path": Place("/props", "model_path"),
        "template_sha256": Place("/props", "chat_template"),
        "defaults": Place("/props", "default_generation_settings.params"),
    },
    metrics={
        "running": ("llamacpp:requests_processing",),
        "waiting": ("llamacpp:requests_deferred",),
        "kv share": ("llamacpp:kv_cache_usage_ratio",),
    },
    overflow=(r"exceeds? the available context", "context size has been exceeded"),
    cures={
        "wrong-parser": "--jinja, and where the model brings an odd template, --chat-template-file with its maker's",
        "swallowed-call": "a newer build, or --reasoning-format none",
        "thought-in-content": "--jinja --reasoning-format auto",
        "truncation": "--no-context-shift, and a larger --ctx-size (it is divided among --parallel slots)",
        "small-window": "a larger --ctx-size: it is divided among --parallel slots",
        "no-cache": "a newer build (hybrid models: fixes of 2026), --cache-ram 4096, a template that keeps old thinking",
        "reasoning-dropped": "--chat-template-kwargs '{\"preserve_thinking\": true}', or --reasoning-preserve",
        "shared-window": "--no-kv-unified, or --ctx-size of as many windows as --parallel",
        "no-metrics": "--metrics",
    },
)
OLLAMA = Dialect(
    name="ollama",
    signs=(Place("/api/version", "version"),),
    facts={
        "version": Place("/api/version", "version"),
        "window": Place("/api/ps", "models.*.context_length"),
        "quantization": Place("/api/ps", "models.*.details.quantization_level"),
        "digest": Place("/api/ps", "models.*.digest"),
    },
    cures={
        "wrong-parser": "a model for which `ollama show` lists tools, or a TEMPLATE with .ToolCalls",
        "truncation": "OLLAMA_CONTEXT_LENGTH=65536 ollama serve, or PARAMETER num_ctx in a Modelfile: /v1 takes no num_ctx",
        "small-window": "OLLAMA_CONTEXT_LENGTH=65536 ollama serve, or PARAMETER num_ctx in a Modelfile",
        "completion-cap-ignored": "send max_tokens: Ollama knows no other name",
        "reasoning-dropped": "a Modelfile whose TEMPLATE keeps .Thinking of earlier turns",
    },
)
SGLANG = Dialect(
    name="sglang",
    signs=(Place("/get_server_info", "version"),),
    facts={
        "version": Place("/get_server_info", "version"),
        "quantization": Place("/get_server_info", "quantization"),
    },
    metrics={
        "running": ("sglang:num_running_reqs",),
        "waiting": ("sglang:num_queue_reqs",),
        "kv share": ("sglang:token_usage",),
        "kv tokens": ("sglang:max_total_num_tokens",),
        "preemptions": ("sglang:num_retracted_requests_total",),
    },
    overflow=("requested token count exceeds",),
    cures={
        "wrong-parser": "--tool-call-parser NAME (qwen3_coder, qwen25, deepseekv3, …)",
        "swallowed-call": "the --reasoning-parser of this model's family, or a newer build",
        "thought-in-content": "--reasoning-parser NAME",
        "truncation": "leave out --allow-auto-truncate; a larger --context-length",
        "small-window": "a larger --context-length",
        "no-cache": "leave out --disable-radix-cache; --enable-cache-report shows the hits",
        "reasoning-dropped": '--set \'model.sampling.extra={"chat_template_kwargs": {"preserve_thinking": true}}\'',
        "varies": "--enable-deterministic-inference",
        "no-metrics": "--enable-metrics",
    },
)
VLLM = Dialect(
    name="vllm",
    signs=(Place("/version", "version"),),
    owner="vllm",
    facts={"version": Place("/version", "version")},
    metrics={
        "running": ("vllm:num_requests_running",),
        "waiting": ("vllm:num_requests_waiting",),
        "kv share": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        "kv tokens": (
            "vllm:cache_config_info{kv_cache_size_tokens}",
            "vllm:cache_config_info{num_gpu_blocks*block_size}",
        ),
        "preemptions": ("vllm:num_preemptions_total",),
    },
    overflow=("maximum context length",),
    cures={
        "wrong-parser": "--enable-auto-tool-choice --tool-call-parser NAME (qwen3_coder for Qwen3-Coder and 3.5 on)",
        "swallowed-call": "a build of 2026-03 or later (vllm#35687), or no --reasoning-parser",
        "thought-in-content": "--reasoning-parser NAME",
        "small-window": "a larger --max-model-len",
        "no-cache": "hybrid models (Qwen3.5 on): --mamba-cache-mode all where it is supported, a smaller "
        "--max-num-batched-tokens, a newer build; others: --enable-prefix-caching",
        "reasoning-dropped": "--default-chat-template-kwargs '{\"preserve_thinking\": true}'",
        "varies": "VLLM_BATCH_INVARIANT=1, where the hardware has it",
    },
)
LM_STUDIO = Dialect(
    name="lm-studio",
    signs=(Place("/api/v0/models", "data"),),
    facts={
        "window": Place("/api/v0/models", "data.*.loaded_context_length"),
        "quantization": Place("/api/v0/models", "data.*.quantization"),
    },
    overflow=("tokens to keep from the initial prompt",),
    cures={
        "wrong-parser": "a model that LM Studio marks as trained for tool use, with its maker's prompt template",
        "truncation": "a larger context length in the model's load settings, overflow policy: stop at limit",
        "small-window": "a larger context length in the model's load settings",
        "reasoning-dropped": "Preserve Thinking in the model's settings",
    },
)
LLAMA_CPP_PYTHON = Dialect(
    name="llama-cpp-python",
    owner="me",
    cures={
        "wrong-parser": "--chat_format chatml-function-calling",
        "small-window": "a larger --n_ctx",
        "truncation": "a larger --n_ctx",
    },
)
UNKNOWN = Dialect(
    name=GENERIC,
    overflow=(
        r"context (?:size|length|window)",
        r"exceeds? the (?:model'?s )?context",
        r"(?:prompt|input) is too long",
    ),
    cures={
        "wrong-parser": "turn on the server's tool-call parser, or run with --tool-calls lenient",
        "calls-as-text": "run with --tool-calls lenient; a model that was not taught its template's calls has no other way",
        "no-call": "look at it with --thorough, or take --tool-calls text",
        "swallowed-call": "a newer build of the server, or no reasoning parser",
        "thought-only": "a higher --max-tokens, or less thinking "
        '(--set \'model.sampling.extra={"reasoning_effort": "medium"}\')',
        "thought-in-content": "turn on the server's reasoning parser",
        "cut-answer": "a higher --max-tokens, or a higher cap of the server's own",
        "empty-answer": "a newer build of the server, or the chat template of the model's maker",
        "broken-arguments": "a newer build of the server: its parser spoils escapes",
        "streamed-calls-lost": "--set model.stream=false",
        "cap-ignored": "no setting mends this: a newer build, or a proxy that enforces max_tokens",
        "completion-cap-ignored": "use --max-tokens, which is sent as max_tokens",
        "lying-finish": "a newer build of the server",
        "usage-missing": "turn usage on (stream_options.include_usage is sent with every request)",
        "truncation": "a larger context in the server's settings, and refusal instead of truncation",
        "small-window": "a larger context in the server's settings",
        "unstated-window": "say it yourself where a claim asks for one: the server's own settings",
        "no-cache": "turn on the server's prefix cache; keep thinking in the history",
        "reasoning-dropped": "a chat template that keeps the reasoning of earlier turns",
        "shared-window": "as much context as all conversations at once need, or fewer at once (--workers)",
        "varies": "repeat attempts (--attempts) instead of trusting a seed",
        "two-servers": "give the address of one of them",
        "other-name": "give the name that the answers bear, with --model",
        "no-metrics": "none needed: speed is measured from outside",
        "no-answer": "look at the server's log",
    },
)
TABLE = (LLAMA_SERVER, OLLAMA, SGLANG, VLLM, LM_STUDIO, LLAMA_CPP_PYTHON, UNKNOWN)
BY_NAME = {dialect.name: dialect for dialect in TABLE}


def cure(problem: str, server: str) -> str:
    """What mends a problem on that server; the general advice where the table has nothing better."""
    own = BY_NAME.get(server, UNKNOWN).cures
    return own.get(problem) or UNKNOWN.cures[problem]

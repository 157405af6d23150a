"""The smallest agent program: asks, runs what is called with bash, and ends on an answer without a call.

Its one argument is the task, whose first word may be a misdeed to commit after what the first answer called for.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Runs a command.",
        "parameters": {"type": "object"},
        "strict": True,
    },
}


def ask(path: str, body: dict, key: str = os.environ.get("TOKEN", "")) -> dict:
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(os.environ["BASE_URL"] + path, data, head)
        ) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return {"status": error.code, **json.load(error)}


def chat(messages: list, **options: object) -> dict:
    body = {"model": os.environ["MODEL"], "messages": messages, "store": False, "temperature": 0.9, **options}
    answer = ask("/chat/completions", body)
    if "choices" not in answer:
        sys.exit(f"no answer: {answer}")
    return answer["choices"][0]["message"]


def work(task: str, misdeed: str) -> None:
    messages = [
        {"role": "developer", "content": "You repair."},
        {"role": "user", "content": [{"type": "text", "text": task}]},
    ]
    while True:
        reply = chat(messages, tools=[TOOL], max_completion_tokens=32000)
        messages.append(reply)
        if not reply.get("tool_calls"):
            return
        for call in reply["tool_calls"]:
            command = json.loads(call["function"]["arguments"])["command"]
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
            messages.append(
                {"role": "tool", "tool_call_id": call["id"], "content": done.stdout + done.stderr}
            )
            print(command, flush=True)
        exec(misdeed)


MISDEEDS = {
    "crash": "raise SystemExit(3)",
    "hang": "import time; time.sleep(600)",
    "terminal": "import sys; sys.exit(0 if sys.stdin.isatty() else 'a terminal is needed: ' + repr(sys.stdin.read()))",
    "daemon": "import subprocess; subprocess.Popen(['setsid', 'sleep', '600']); raise SystemExit(0)",
    "break": "os.kill(-1, 9)",
    "fill": (
        "import time\n"
        "for n in range(4000):\n"
        "    Path(os.environ['HOME'], f'big{n}').write_bytes(os.urandom(1 << 23))\n"
        "    time.sleep(0.2)"
    ),
    "insist": "while True: ask('/chat/completions', {'messages': messages, 'tools': [TOOL], 'n': 1})",
    "stray": (
        "assert ask('/embeddings', {})['status'] == 404\n"
        "assert ask('/models', None)['data'][0]['id'] == 'm'\n"
        "assert ask('/models', None, 'sk-other')['status'] == 401\n"
        "assert ask('/chat/completions', [])['status'] == 400\n"
        "try: urllib.request.urlopen('http://192.0.2.1/', timeout=2)\n"
        "except OSError: pass\n"
        "else: raise SystemExit(9)"
    ),
    "flood": "import sys\nwhile True: sys.stdout.write('x' * 100000)",
}

if __name__ == "__main__":
    Path(os.environ["HOME"], "log.jsonl").write_text('{"tiny": 1}\n')
    Path(".tiny").mkdir()
    Path(".tiny/state").write_text("mine")
    misdeed = MISDEEDS.get(sys.argv[1].split()[0], "")
    work(sys.argv[1], misdeed)

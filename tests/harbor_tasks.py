"""Harbor task directories of our own making, in the shape of Terminal-Bench's and SkillsBench's: verifiers that install.

Each has an environment that is built without a network, a solution, and a `test.sh` that fetches curl with apt, uv with
curl and pytest with uv, as theirs do; two use pip, one uv's own environments, as a few of theirs do.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PINNED = ("pytest==8.4.1", "pytest-json-ctrf==0.3.5")
UVX = """\
#!/bin/bash
# What the checks need is fetched first.
apt-get update
apt-get install -y curl
curl -LsSf https://astral.sh/uv/0.9.5/install.sh | sh
source $HOME/.local/bin/env
if [ "$PWD" = "/" ]; then
    echo "no working directory"
    exit 1
fi
uvx \\
  -p 3.13 \\
  -w pytest==8.4.1 \\
  -w pytest-json-ctrf==0.3.5 \\
  pytest --ctrf /logs/verifier/ctrf.json /tests/test_outputs.py -rA
if [ $? -eq 0 ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
"""
WITH = """\
#!/bin/bash
apt-get update && apt-get install -y curl
curl -LsSf https://astral.sh/uv/0.9.7/install.sh | sh
source $HOME/.local/bin/env
mkdir -p /logs/verifier
uvx --with pytest==8.4.1 --with pytest-json-ctrf==0.3.5 \\
  pytest --ctrf /logs/verifier/ctrf.json /tests/test_outputs.py -rA -v
PYTEST_EXIT_CODE=$?
if [ $PYTEST_EXIT_CODE -eq 0 ]; then echo 1 > /logs/verifier/reward.txt; else echo 0 > /logs/verifier/reward.txt; fi
exit 0
"""
PIP = """\
#!/bin/bash
mkdir -p /logs/verifier
pip3 install --break-system-packages \\
  pytest==8.4.1 \\
  pytest-json-ctrf==0.3.5
pytest --ctrf /logs/verifier/ctrf.json /tests/test_outputs.py -rA
if [ $? -eq 0 ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
"""
UV_RUN = """\
#!/bin/bash
apt-get update
apt-get install -y curl
curl -LsSf https://astral.sh/uv/0.9.5/install.sh | sh
source $HOME/.local/bin/env
cd /app
uv venv -p 3.12 .checks
source .checks/bin/activate
uv pip install pytest==8.4.1 pytest-json-ctrf==0.3.5
uv run pytest --ctrf /logs/verifier/ctrf.json /tests/test_outputs.py -rA
if [ $? -eq 0 ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
"""
OLD_TOML = """\
version = "1.0"

[metadata]
author_name = "asclaimed"
difficulty = "{difficulty}"
category = "{category}"
tags = ["own"]
expert_time_estimate_min = 5.0

[verifier]
timeout_sec = 120.0

[agent]
timeout_sec = 90.0

[environment]
build_timeout_sec = 600.0
cpus = 1
memory = "2G"
storage = "10G"
"""
NEW_TOML = """\
schema_version = "1.4"

[task]
name = "asclaimed/own"
description = "one of ours"

[metadata]
difficulty = "{difficulty}"
category = "{category}"

[verifier]
timeout_sec = 120.0
env = {{ EXPECTED = "{category}" }}

[agent]
timeout_sec = 90.0

[environment]
cpus = 1
memory_mb = 1024
storage_mb = 1024
network_mode = "none"

[solution]
env = {{ GREETING = "hello" }}
"""


class OwnTask(NamedTuple):
    name: str
    instruction: str
    checks: str
    """`test_outputs.py`."""
    solution: str
    test: str = UVX
    dockerfile: str = ""
    """What follows the base and the working directory."""
    toml: str = OLD_TOML
    difficulty: str = "easy"
    category: str = "files"


TASKS = (
    OwnTask(
        "sum-ledger",
        "Sum the second column of /app/ledger.csv and write the number to /app/total.txt.",
        "from pathlib import Path\n\n\ndef test_total():\n    assert Path('/app/total.txt').read_text().split() == ['42']\n",
        "cut -d, -f2 ledger.csv | awk '{ n += $1 } END { print n }' >total.txt\n",
        dockerfile="RUN printf 'a,40\\nb,2\\n' >ledger.csv",
    ),
    OwnTask(
        "own-command",
        "Make a command /usr/local/bin/shout that prints its arguments in capitals.",
        "import subprocess\n\n\ndef test_shout():\n"
        "    said = subprocess.run(['shout', 'so', 'be it'], capture_output=True, text=True)\n"
        "    assert said.stdout == 'SO BE IT\\n'\n",
        "printf '#!/bin/sh\\necho \"$@\" | tr a-z A-Z\\n' >/usr/local/bin/shout\nchmod +x /usr/local/bin/shout\n",
        test=WITH,
        category="system",
    ),
    OwnTask(
        "lost-commit",
        "A commit with a file `key` was lost from /app/repo. Put the key into /app/key.txt.",
        "from pathlib import Path\n\n\ndef test_key():\n    assert Path('/app/key.txt').read_text().strip() == 'k-1234'\n",
        "cd repo\nfor c in $(git fsck --no-reflogs --unreachable | awk '$2 == \"commit\" { print $3 }'); do\n"
        "    git show $c:key 2>/dev/null >/app/key.txt && break\ndone\n",
        dockerfile="RUN git init -q repo && cd repo && git config user.name a && git config user.email a@b \\\n"
        " && git commit -q --allow-empty -m one && echo k-1234 >key && git add key && git commit -q -m two \\\n"
        " && git reset -q --hard HEAD~1",
        difficulty="medium",
        category="version-control",
    ),
    OwnTask(
        "mend-script",
        "/app/count.py should print how many lines /app/input.txt has. It prints one too few.",
        "import subprocess\n\n\ndef test_count():\n"
        "    said = subprocess.run(['python3', '/app/count.py'], capture_output=True, text=True)\n"
        "    assert said.stdout.strip() == '3'\n",
        "sed -i 's/ - 1//' count.py\n",
        test=PIP,
        dockerfile="RUN printf 'a\\nb\\nc\\n' >input.txt && "
        "echo \"print(len(open('/app/input.txt').readlines()) - 1)\" >count.py",
        category="repair",
    ),
    OwnTask(
        "permissions",
        "Nobody but its owner may read /app/secret; it must stay readable for the owner.",
        "import os\n\n\ndef test_mode():\n    assert os.stat('/app/secret').st_mode & 0o777 == 0o600\n",
        "chmod 600 secret\n",
        test=UV_RUN,
        dockerfile="RUN echo s >secret && chmod 644 secret",
        category="system",
    ),
    OwnTask(
        "greeting",
        "Write a greeting of your choice, then the category of this task, to /app/greeting.txt.",
        "import os\nfrom pathlib import Path\n\n\ndef test_words():\n"
        "    words = Path('/app/greeting.txt').read_text().split()\n"
        "    assert len(words) == 2\n    assert words[1] == os.environ['EXPECTED']\n",
        'echo "$GREETING words" >/app/greeting.txt\n',
        toml=NEW_TOML,
        category="words",
    ),
    OwnTask(
        "json-report",
        "Turn /app/in.txt, lines of `name value`, into the object /app/out.json.",
        "import json\nfrom pathlib import Path\n\nimport pytest\n\n\n"
        "@pytest.mark.parametrize(('name', 'value'), [('a', 1), ('b', 2)])\ndef test_value(name, value):\n"
        "    assert json.loads(Path('/app/out.json').read_text())[name] == value\n",
        "python3 - <<'END'\nimport json\npairs = (line.split() for line in open('in.txt'))\n"
        "json.dump({name: int(value) for name, value in pairs}, open('out.json', 'w'))\nEND\n",
        test=WITH,
        dockerfile="RUN printf 'a 1\\nb 2\\n' >in.txt",
        toml=NEW_TOML,
        category="data",
    ),
    OwnTask(
        "clean-up",
        "Remove every file below /app/tree whose name ends in .tmp, and nothing else.",
        "from pathlib import Path\n\n\ndef test_tree():\n"
        "    left = sorted(p.name for p in Path('/app/tree').rglob('*') if p.is_file())\n    assert left == ['keep', 'tmp']\n",
        "find tree -name '*.tmp' -delete\n",
        dockerfile="RUN mkdir -p tree/a/b && touch tree/keep tree/a/tmp tree/a/x.tmp tree/a/b/y.tmp",
    ),
)


def write_task(home: Path, task: OwnTask) -> Path:
    directory = home / task.name
    files = {
        "instruction.md": task.instruction + "\n",
        "task.toml": task.toml.format(difficulty=task.difficulty, category=task.category),
        "environment/Dockerfile": f"ARG BASE\nFROM ${{BASE}}\nWORKDIR /app\n{task.dockerfile}\n",
        "tests/test.sh": task.test,
        "tests/test_outputs.py": task.checks,
        "solution/solve.sh": f"#!/bin/bash\nset -e\n{task.solution}",
    }
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def write_tasks(home: Path) -> Path:
    """All of them, as one directory."""
    for task in TASKS:
        write_task(home, task)
    return home


STORED = OwnTask(
    "stored",
    "Put what http://store/secret says under http://store/answer.",
    "from urllib.request import urlopen\n\n\ndef test_it_is_stored():\n"
    "    assert urlopen('http://store/answer', timeout=5).read() == b'k-77'\n",
    "python3 - <<'END'\nimport os\nfrom urllib.request import Request, urlopen\n"
    "secret = urlopen(os.environ['STORE'] + '/secret').read()\n"
    "urlopen(Request(os.environ['STORE'] + '/answer', data=secret, method='PUT'))\nEND\n",
    category="services",
)
STORE = """\
import http.server, os

KEPT = {"/secret": os.environ["SECRET"].encode()}


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, code, body=b""):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path in KEPT else 404, KEPT.get(self.path, b""))

    def do_PUT(self):
        KEPT[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(204)


http.server.HTTPServer(("", 80), Handler).serve_forever()
"""
COMPOSE = """\
services:
  main:
    depends_on:
      store: {condition: service_healthy}
    environment: {STORE: "http://store"}
  store:
    build: ./store
    environment: {SECRET: "${SECRET_OF_TESTS:-k-77}"}
    expose: ["80"]
    healthcheck:
      test: [CMD, python3, -c, "import urllib.request as u; u.urlopen('http://localhost/secret')"]
      interval: 1s
      timeout: 10s
"""


def write_served(home: Path) -> Path:
    """A task with a service: a store beside its machine, which its verifier asks."""
    environment = write_task(home, STORED) / "environment"
    (environment / "store").mkdir()
    dockerfile = 'ARG BASE\nFROM ${BASE}\nCOPY store.py /store.py\nCMD ["python3", "/store.py"]\n'
    (environment / "store" / "Dockerfile").write_text(dockerfile)
    (environment / "store" / "store.py").write_text(STORE)
    (environment / "docker-compose.yaml").write_text(COMPOSE)
    return environment.parent

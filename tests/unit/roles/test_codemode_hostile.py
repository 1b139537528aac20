"""What an attacker would write: each comes to an error, and nothing gets out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.roles.codemode_desk import Desk, ran

IGNORED = "  # type: ignore"  # an attacker turns the checker off
SECRET = "hunter2-of-the-host"

PROGRAMS = {
    "open": "open('/etc/passwd').read()",
    "write": "open('{place}', 'w').write('x')",
    "pathlib": "from pathlib import Path\nPath('/etc/passwd').read_text()",
    "pathlib write": "from pathlib import Path\nPath('{place}').write_text('x')",
    "listdir": "import os\nos.listdir('/')",
    "environ": "import os\nprint(os.environ)",
    "environ item": "import os\nprint(os.environ['CODEMODE_SECRET'])",
    "system": "import os\nos.system('touch {place}')",
    "fork": "import os\nwhile True: os.fork()",
    "kill": "import os\nos.kill(1, 9)",
    "proc": "open('/proc/self/environ').read()",
    "dev": "open('/dev/zero').read()",
    "traversal": "open('../../../../etc/passwd').read()",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', 80))",
    "urllib": "import urllib.request",
    "http": "import http.client",
    "ssl": "import ssl",
    "subprocess": "import subprocess\nsubprocess.run(['touch', '{place}'])",
    "multiprocessing": "import multiprocessing",
    "threading": "import threading",
    "ctypes": "import ctypes",
    "pickle": "import pickle",
    "importlib": "import importlib",
    "builtins": "import builtins\nbuiltins.open('/etc/passwd')",
    "own package": "import roles.runners.codemode.pool",
    "django": "from django.conf import settings\nprint(settings.SECRET_KEY)",
    "dunder import": "__import__('os').system('id')",
    "dunder builtins": "__builtins__['open']('/etc/passwd')",
    "sys.modules": "import sys\nsys.modules['os']",
    "frames": "import sys\nsys._getframe(0).f_back",
    "subclasses": "().__class__.__bases__[0].__subclasses__()",
    "object": "object.__subclasses__()",
    "mro": "type(system).__mro__[-1].__subclasses__()",
    "globals of a function": "(lambda: 0).__globals__['os']",
    "code": "def f(): pass\nf.__code__.co_consts",
    "globals of init": "system.__init__.__globals__",
    "class": "system.__class__.__init__.__globals__",
    "dict": "system.__dict__['x']",
    "method": "system.execute_orchestration.__self__.x",
    "method globals": "system.execute_orchestration.__globals__",
    "module": "system.__module__.x",
    "private": "system._calls.records",
    "reduce": "system.__reduce_ex__(2)",
    "getattr": "getattr(getattr(system, '__class__'), '__base__').x",
    "format": "'{{0.__class__.__mro__[1]}}'.format(system).x",
    "vars": "vars(system)['x']",
    "globals": "globals()['system'].x",
    "eval": "eval('1')",
    "exec": "exec('x = 1')",
    "compile": "compile('1', 'a', 'eval')",
    "eval by another name": "e = eval\ne('1')",
    "call of a module": "system()",
    "metaclass": "type('A', (type(system),), {{}})()",
    "exit": "raise SystemExit(0)",
    "interrupt": "raise KeyboardInterrupt()",
    "quit": "exit(0)",
    "abort": "import os\nos.abort()",
    "breakpoint": "breakpoint()",
    "input": "input()",
    "nested parentheses": "(" * 5000 + "1" + ")" * 5000,
    "open brackets": "[" * 40_000,
    "minus": "-" * 20_000 + "1",
    "sum": "+".join(["1"] * 20_000) + "+x",
    "strings": "f'{{" * 300 + "1" + "}}'" * 300,
    "types that double": "a = (1,)\n" + "a = (a, a)\n" * 60 + "len(str(a)) // 0",
    "deep types": "x = " + "[" * 150 + "1" + "]" * 150 + "\nx.a",
    "regex": "import re\nre.match(r'(?=(a+)+b)(a|a)*\\1$', 'a' * 50).x",
    "regex size": "import re\nre.match('(((((a{{100}}){{100}}){{100}}){{100}}){{100}})', 'a')",
    "json depth": "import json\njson.loads('[' * 100_000)",
    "hash flood": "class A:\n  def __hash__(self): return 1\n"
    "  def __eq__(self, other): return False\n{{A(): 1 for i in range(10**6)}}",
    "tasks": "import asyncio\nasync def f():\n"
    "  while True: await asyncio.gather(f(), f())\nawait f()",
    "self made module": "system.execute_orchestration = open\n"
    "system.execute_orchestration('/etc/passwd')",
    "nul": "x = '\0'",
    "surrogate": "x = '\ud800'",
    "fault of a tool": "await tools.http_weather(1)",
    "fault that is caught": "try:\n  await tools.http_weather(1)\n"
    "except BaseException as e:\n  print(e, repr(e), e.__traceback__)\n1 / 0",
    "cause of a fault": "try:\n  await tools.http_weather(1)\n"
    "except BaseException as e:\n  print(e.__cause__, e.__context__, e.args)\n1 / 0",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEMODE_SECRET", SECRET)
    return tmp_path / "made-by-a-program"


@pytest.mark.parametrize("checked", [True, False], ids=["checked", "unchecked"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_program_gets_out(program, checked, place):
    code = program.format(place=place)
    if not checked:
        code = "\n".join(f"{line}{IGNORED}" for line in code.split("\n"))

    desk = Desk(**{"http:weather": OSError(f"no route to db, password {SECRET}")})
    done = ran(code, desk, max_seconds=0.5, max_memory_mb=32)

    assert done.error is not None
    assert not place.exists()
    told = f"{done.output} {done.error} {done.calls} {done.result}"
    for known in (SECRET, "root:", os.environ["PATH"], "site-packages"):
        assert known not in told
    assert {name for name, _ in desk.asked} <= {"http:weather", "system.x"}

"""The command line of `dev.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from config.dev import bench, chaos, doctor, management, ports, reset, testing, up
from config.dev.layout import DEFAULT_DATA
from config.dev.terminal import DevError, complain

DEFAULT_PORT = 8000
OVERVIEW = """\
examples:
  python3 dev.py up                    everything, at http://127.0.0.1:8000
  python3 dev.py up --port 9000        at another port
  python3 dev.py test                  linters and the whole test suite
  python3 dev.py test -k retry -x      pytest alone, with its own arguments
  python3 dev.py test --faults         every fault: servers and processes are killed
  python3 dev.py manage doctor         a manage.py command on what `up` runs
  python3 dev.py chaos --minutes 3     faults at random, and what they cost
  python3 dev.py bench                 this system beside its peers, in figures
  python3 dev.py doctor                what is there, and what to do about it
  python3 dev.py reset                 delete the data and start afresh

DATABASE_URL and REDIS_URL, set in the environment or in .env, name servers to use
instead of the embedded ones. See .env.example for all settings.
"""


def main(arguments: Sequence[str]) -> int:
    """Run a command; a problem is told without a traceback."""
    try:
        return _run(arguments)
    except DevError as error:
        complain(f"dev.py: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str]) -> int:
    parser = _parser()
    if arguments[:1] == ["test"] and not {"-h", "--help"} & set(arguments[1:2]):
        return testing.test(arguments[1:])
    chosen = parser.parse_args(arguments)
    if chosen.command == "up":
        return up.up(
            up.Options(
                port=chosen.port,
                data=_folder(chosen.data),
                workers=chosen.workers,
                demo=chosen.demo,
            )
        )
    if chosen.command == "reset":
        return reset.reset(_folder(chosen.data), confirmed=chosen.yes)
    if chosen.command == "manage":
        return management.manage(_folder(chosen.data), chosen.words)
    if chosen.command == "doctor":
        return doctor.doctor(_folder(chosen.data), chosen.port)
    if chosen.command == "chaos":
        return chaos.chaos(chosen)
    if chosen.command == "bench":
        return bench.bench(chosen)
    parser.print_help(sys.stderr)
    return 2


def _folder(path: Path) -> Path:
    return path.expanduser().resolve()


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="dev.py",
        description="Start, test, examine or reset C.O.R.E. Orchestration. "
        "Needs Python 3.11 or newer, and nothing else.",
        epilog=OVERVIEW,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_up(commands)
    test = commands.add_parser(
        "test",
        help="run the linters and the tests; other arguments go to pytest",
        usage="dev.py test [--no-lint] [--faults] [pytest arguments]",
        description="Runs ruff, mypy, import-linter and then pytest, on real servers "
        "that it starts itself. With arguments for pytest, pytest alone runs.",
    )
    test.add_argument("--no-lint", action="store_true", help="run pytest alone")
    test.add_argument(
        "--faults",
        action="store_true",
        help="run the whole fault suite and nothing else (about 10 minutes)",
    )
    chaos.add_to(commands)
    bench.add_to(commands)
    clean = commands.add_parser("reset", help="delete the data of an installation")
    clean.add_argument("--yes", action="store_true", help="do not ask")
    look = commands.add_parser("doctor", help="say what is there and what to do")
    _add_port(look)
    words = commands.add_parser(
        "manage", help="run a manage.py command on the running installation"
    )
    words.add_argument("words", nargs=argparse.REMAINDER, metavar="...")
    for command in (clean, look, words):
        _add_data(command)
    return parser


def _add_up(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "up",
        help="start everything, until Ctrl-C",
        description="Installs what is missing, starts the servers, web, workers and "
        "reconciler, runs a demo, and keeps all of it running until Ctrl-C.",
    )
    _add_port(command)
    _add_data(command)
    command.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="how many workers of each kind, cpu and io (default 1)",
    )
    command.add_argument(
        "--no-demo", dest="demo", action="store_false", help="seed and run no demo"
    )


def _add_port(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"the web port on {ports.HOST} (default {DEFAULT_PORT})",
    )


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        type=Path,
        default=DEFAULT_DATA,
        metavar="DIR",
        help="the folder of the installation's data (default .data beside dev.py)",
    )


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= ports.HIGHEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) > 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 64")
    return int(text)

"""What `make` calls on a developer's machine: the embedded server, Dagster's home, the demo, the UI.

`python -m aicfg_pipeline.local --help` lists the commands. Nothing here is needed against a database of one's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from aicfg_pipeline.demo.project import DemoProject
from aicfg_pipeline.embedded.database import EmbeddedDatabase, embedded_runs, stop_embedded
from aicfg_pipeline.environment import (
    DAGSTER_POSTGRES_URL,
    DATABASE_URL,
    HOME,
    REPORTS_URL,
    SERVICES,
    UI_URL,
    VARIABLES,
    everything,
)
from aicfg_pipeline.errors import ConfigError, PipelineError
from aicfg_pipeline.evidence.serving import address_of, served
from aicfg_pipeline.evidence.words import shortened
from aicfg_pipeline.orchestration.commands import MODULE
from aicfg_pipeline.orchestration.home import DEMO, embedded, home, report_folder
from aicfg_pipeline.orchestration.terminal import WIDTH
from aicfg_pipeline.postgres.address import shown, target_name
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, look
from aicfg_pipeline.spec import load as spec

DAGSTER_YAML = {
    "storage": {"postgres": {"postgres_url": {"env": DAGSTER_POSTGRES_URL.name}}},
    # a run that does not start, or does not end when it is told to, is ended; how long one may take is said by its tags
    "run_monitoring": {"enabled": True, "start_timeout_seconds": 600, "cancel_timeout_seconds": 600},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
}


PORT = 3000
"""Of the UI, where no other is named."""


def dagster_home() -> Path:
    """Return Dagster's home under `AICFG_HOME`, with a dagster.yaml that keeps runs and events in PostgreSQL."""
    folder = home() / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text(yaml.safe_dump(DAGSTER_YAML), encoding="utf-8")
    return folder


def dagster_environment() -> dict[str, str]:
    """Return the environment in which Dagster keeps its runs in PostgreSQL (the embedded one unless named)."""
    environment = everything()
    named = environment.get("DAGSTER_HOME")
    if named is not None and not Path(named).is_dir():
        raise ConfigError(
            f"DAGSTER_HOME names {named!r}, which is no folder.", remedy="Make it, or unset DAGSTER_HOME."
        )
    if DAGSTER_POSTGRES_URL.value() is None:
        environment[DAGSTER_POSTGRES_URL.name] = embedded().dagster_url
    environment.setdefault("DAGSTER_HOME", str(dagster_home()))
    environment[HOME.name] = str(home())
    if named is None:  # such runs are in the history of `make dev`, which opens their reports
        environment.setdefault(UI_URL.name, f"http://127.0.0.1:{PORT}")
        environment.setdefault(REPORTS_URL.name, address_of(home(), PORT + 1))
    return environment


def _dagster(*words: str) -> list[str]:
    beside = Path(sys.executable).with_name("dagster")
    return [str(beside if beside.exists() else shutil.which("dagster") or "dagster"), *words]


def _project() -> Path:
    return Path(__file__).resolve().parent.parent


def up(arguments: argparse.Namespace) -> int:
    """Start the embedded server and say how to reach it."""
    database = _embedded()
    print(f"{'Made and migrated' if database.created else 'Running'}: {shown(database.url)}")
    print(f"  psql '{database.url}'")
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Stop the embedded server and the demo's project; their data stays."""
    DemoProject(home() / "demo", "").stop()
    stop_embedded(home())
    print("Stopped.")
    return 0


def dev(arguments: argparse.Namespace) -> int:
    """Start the Dagster UI with its runs and events in PostgreSQL; says what goes on running when it ends."""
    _must_be_free(arguments.port)
    environment = _with_target()
    print(f"Target: {_target_told(environment)}")
    print(f"UI: http://127.0.0.1:{arguments.port}", flush=True)
    command = _dagster("dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(arguments.port))
    with served(report_folder(), home(), arguments.port + 1) as address:
        here = {UI_URL: f"http://127.0.0.1:{arguments.port}", REPORTS_URL: address}
        environment |= {variable.name: variable.value() or own for variable, own in here.items()}
        status = _waited_for(command, environment)
    _say_what_runs()
    return status


def run(arguments: argparse.Namespace) -> int:
    """Run one job on AICFG_DATABASE_URL, or on the demo with its services; -c names its run.yaml."""
    config = ["-c", _readable(Path(arguments.config).absolute())] if arguments.config else []
    command = _dagster("job", "execute", "-m", MODULE, "-j", arguments.job, *config)
    environment = _with_target()
    os.chdir(_project())
    os.execvpe(command[0], command, environment)  # noqa: S606 - the run takes this process's place: Ctrl-C is its own


def _readable(config: Path) -> str:
    """Return the path of a run.yaml. Raises `ConfigError` where it is none: Dagster would say so by a traceback."""
    if config.is_char_device() or config.is_fifo():
        return str(config)  # /dev/stdin, which can be read once
    try:
        yaml.safe_load(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{config} can't be read: {error.strerror}.", remedy="Name a run.yaml.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "it can't be decoded"
        raise ConfigError(f"{config} is not YAML: {where}.", remedy="The job plan writes a complete one.") from None
    return str(config)


def demo(arguments: argparse.Namespace) -> int:
    """Let the embedded demo break, roll it back as `dagster job execute` does it, and show the outcome."""
    database = _embedded()
    _say(f"{'Made and migrated' if database.created else 'Found'} the demo database: {shown(database.url)}")
    project = DemoProject(home() / "demo", database.url)
    new = project.make()
    _say(f"{'Made' if new else 'Found'} the demo project: {project.folder}")
    _say("Starting the demo's application and its AWS (some seconds) ...")
    project.start()
    broke = _break(project, database.url)
    environment = project.environment(dagster_environment())
    environment[DATABASE_URL.name] = DEMO  # the demo never touches a database of yours
    command = _dagster("job", "execute", "-m", MODULE, "-j", "rollback")
    _say("$ " + " ".join(["dagster", *command[1:]]))
    status = _waited_for(command, environment)
    if status == 0:
        _say(f"\nAfter the rollback{', with the code and the deploy of before the migration' if broke else ''}:")
        _ask(project)
        _say(NEXT)
    return status


NEXT = """
What next:
  make dev        the UI, with this run and its steps, on http://127.0.0.1:3000
  the report      open the file behind "Report" above in a browser
  make verify     every check once more
  make undo       takes the rollback back: database, code, deploy, services
  make demo       once more, after make undo; from the start: make clean demo
  make down       stops PostgreSQL, the application and the AWS of the demo"""


def _embedded() -> EmbeddedDatabase:
    """Start the embedded server, and say so first: the first time it takes a while."""
    if not (home() / "postgres").exists():
        _say("Making a PostgreSQL with a demo database (once, some 20 seconds) ...")
    return embedded()


def _with_target() -> dict[str, str]:
    """Return the environment of a run: on AICFG_DATABASE_URL where that is set, else on the demo with its services."""
    environment = dagster_environment()
    environment.setdefault(DATABASE_URL.name, DEMO)
    is_demo = environment[DATABASE_URL.name].strip() == DEMO
    if not is_demo or SERVICES.value() is not None or not (home() / "demo" / "services.yaml").exists():
        return environment
    project = DemoProject(home() / "demo", _embedded().url)
    project.make()
    project.start()
    print(f"Services: the demo's ({project.services_file})", flush=True)
    return project.environment(environment)


def _target_told(environment: Mapping[str, str]) -> str:
    named = environment[DATABASE_URL.name].strip()
    return "the embedded demo" if named == DEMO else target_name(named)


def _must_be_free(port: int) -> None:
    """Raise `ConfigError` where somebody listens on the port: the UI would say so only after half a minute."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ConfigError(
                f"Port {port} of 127.0.0.1 is in use. Nothing was started.",
                remedy=f"Open http://127.0.0.1:{port}, if that is this UI; else name another: make dev PORT={port + 1}",
            ) from None


def _waited_for(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end. Ctrl-C reaches it by itself, SIGTERM is handed on; what it does then is waited for."""
    process = subprocess.Popen(command, env=dict(environment), cwd=_project())
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_what_runs() -> None:
    """Name what was started in the background and goes on, and how to stop it."""
    project = DemoProject(home() / "demo", "")
    running = [*project.running(), *(["PostgreSQL"] if embedded_runs(home()) else [])]
    if running:
        _say(f"\nThe UI has stopped. Still running: {', '.join(running)}. To stop them: make down")


def _break(project: DemoProject, url: str) -> bool:
    """Let what makes someone roll back happen, while the migration is in effect; returns whether it is."""
    session = connect(url, "aicfg_pipeline demo")
    try:
        states = look(session, spec.load())
    finally:
        session.close()
    if not states.in_state(*TO_ROLL_BACK):
        found = ", ".join(f"{old} is {state}" for old, state in states.summary.items())
        _say(f"Nothing is migrated: {found}. The rollback will find nothing left to do. The endpoints now:")
        _ask(project)
        return False
    project.deploy("migrated")
    _say("\n1. The migration is in effect, and the code knows the new names:")
    _ask(project)
    project.deploy("broken")
    _say("\n2. A later deploy has a slip in a table's name:")
    _ask(project)
    _say(f"   its log: {project.last_error()}")
    _say("\n3. Rolled back: database, code, schema files, deploy:")
    return True


def _ask(project: DemoProject) -> None:
    for answer in project.ask():
        _say(shortened(f"   {answer}", WIDTH))
    if project.aws_url:
        _say(f"   the function's reserved concurrency is {project.concurrency()}")


def _say(line: str) -> None:
    print(line, flush=True)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": up,
    "down": down,
    "dev": dev,
    "demo": demo,
    "run": run,
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; what a person can mend is shown without a traceback."""
    parser = argparse.ArgumentParser(
        prog="python -m aicfg_pipeline.local",
        description=__doc__,
        epilog="environment variables:\n"
        + "\n".join(f"  {v.name}: {v.meaning}; default {v.default}" for v in VARIABLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        sub = commands.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
        if name == "dev":
            sub.add_argument("--port", type=int, default=PORT, help=f"port of the UI (default {PORT})")
        if name == "run":
            sub.add_argument("job", help="plan, rollback, verify, undo_rollback, ...")
            sub.add_argument("-c", "--config", help="a run.yaml")
    arguments = parser.parse_args(words)
    try:
        return COMMANDS[arguments.command](arguments)
    except PipelineError as error:
        print(f"{type(error).__name__} ({error.code}): {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

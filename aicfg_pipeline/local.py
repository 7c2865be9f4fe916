"""What `make` calls on a developer's machine: the embedded server, Dagster's home, the demo, the UI.

`python -m aicfg_pipeline.local --help` lists the commands. Nothing here is needed against a database of one's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from aicfg_pipeline.demo.project import DemoProject
from aicfg_pipeline.embedded.database import stop_embedded
from aicfg_pipeline.environment import DAGSTER_POSTGRES_URL, DATABASE_URL, HOME, SERVICES, VARIABLES, everything
from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.orchestration.commands import MODULE
from aicfg_pipeline.orchestration.home import DEMO, embedded, home
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


def dagster_home() -> Path:
    """Return Dagster's home under `AICFG_HOME`, with a dagster.yaml that keeps runs and events in PostgreSQL."""
    folder = home() / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text(yaml.safe_dump(DAGSTER_YAML), encoding="utf-8")
    return folder


def dagster_environment() -> dict[str, str]:
    """Return the environment in which Dagster keeps its runs in PostgreSQL (the embedded one unless named)."""
    environment = everything()
    if DAGSTER_POSTGRES_URL.value() is None:
        environment[DAGSTER_POSTGRES_URL.name] = embedded().dagster_url
    environment.setdefault("DAGSTER_HOME", str(dagster_home()))
    environment[HOME.name] = str(home())
    return environment


def _dagster(*words: str) -> list[str]:
    beside = Path(sys.executable).with_name("dagster")
    return [str(beside if beside.exists() else shutil.which("dagster") or "dagster"), *words]


def _project() -> Path:
    return Path(__file__).resolve().parent.parent


def up(arguments: argparse.Namespace) -> int:
    """Start the embedded server and say how to reach it."""
    database = embedded()
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
    """Start the Dagster UI with its runs and events in PostgreSQL."""
    environment = dagster_environment()
    environment.setdefault(DATABASE_URL.name, DEMO)
    is_demo = environment[DATABASE_URL.name].strip() == DEMO
    if is_demo and SERVICES.value() is None and (home() / "demo" / "services.yaml").exists():
        project = DemoProject(home() / "demo", embedded().url)
        project.make()
        project.start()
        environment = project.environment(environment)
        print(f"Services: the demo's ({project.services_file})")
    print(f"Target: {'the embedded demo' if is_demo else target_name(environment[DATABASE_URL.name])}")
    print(f"UI: http://127.0.0.1:{arguments.port}", flush=True)
    command = _dagster("dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(arguments.port))
    os.chdir(_project())
    os.execvpe(command[0], command, environment)  # noqa: S606 - the UI takes this process's place


def demo(arguments: argparse.Namespace) -> int:
    """Let the embedded demo break, roll it back as `dagster job execute` does it, and show the outcome."""
    database = embedded()
    _say(f"{'Made and migrated' if database.created else 'Found'} the demo database: {shown(database.url)}")
    project = DemoProject(home() / "demo", database.url)
    new = project.make()
    _say(f"{'Made' if new else 'Found'} the demo project: {project.folder}")
    project.start()
    broke = _break(project, database.url)
    environment = project.environment(dagster_environment())
    environment[DATABASE_URL.name] = DEMO  # the demo never touches a database of yours
    status = _execute("rollback", environment)
    if status == 0:
        _say(f"\nAfter the rollback{', with the code and the deploy of before the migration' if broke else ''}:")
        _ask(project)
    return status


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
        _say(f"   {answer}")
    if project.aws_url:
        _say(f"   the function's reserved concurrency is {project.concurrency()}")


def _say(line: str) -> None:
    print(line, flush=True)


def _execute(job: str, environment: dict[str, str], *words: str) -> int:
    """Run a job and show what a person wants to read of it: no debug lines, no SQL listing."""
    command = _dagster("job", "execute", "-m", MODULE, "-j", job, *words)
    print("$ " + " ".join(["dagster", *command[1:]]), flush=True)
    log = home() / f"{job}.log"
    with log.open("w", encoding="utf-8") as kept:
        process = subprocess.Popen(
            command, env=environment, cwd=_project(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        quiet = False
        for line in process.stdout:
            kept.write(line)
            quiet = _shown(line, quiet)
    status = process.wait()
    print(f"(the whole log: {log})")
    return status


def _shown(line: str, quiet: bool) -> bool:
    """Print one line of the log in short form; returns whether the plan's listing is being passed over."""
    if line.startswith(("## Plan ", "## Services")):
        return True
    if " - dagster - " in line:
        level, _, rest = line.split(" - dagster - ", 1)[1].partition(" - ")
        if level in ("INFO", "WARNING", "ERROR"):
            parts = rest.rstrip("\n").split(" - ", 2)
            print(f"  {parts[-1]}" if len(parts) > 2 else f"  {rest.rstrip()}", flush=True)
        return False
    if not quiet and "SupersessionWarning" not in line and not line.lstrip().startswith("return callback("):
        print(line, end="", flush=True)
    return quiet


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"up": up, "down": down, "dev": dev, "demo": demo}


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
            sub.add_argument("--port", type=int, default=3000, help="port of the UI (default 3000)")
    arguments = parser.parse_args(words)
    try:
        return COMMANDS[arguments.command](arguments)
    except PipelineError as error:
        print(f"{type(error).__name__} ({error.code}): {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""The second half of the deploy: tells AWS of the new code, and restarts the app with it."""

import io
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path


def main():
    """Update, restart and wait until it answers."""
    function, folder = sys.argv[1], sys.argv[2]
    if os.environ.get("AWS_ENDPOINT_URL"):
        update(function, folder)
    stop()
    port = os.environ["PORT"]
    with open("app.log", "ab") as log:
        app = subprocess.Popen(
            [sys.executable, str(Path("serve.py").resolve()), port, folder],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    Path("app.pid").write_text(str(app.pid))
    wait(f"http://127.0.0.1:{port}/", app)
    print(f"restarted the app (pid {app.pid})", flush=True)


def update(function, folder):
    """Hand the code to Lambda."""
    import boto3

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(Path(folder) / "lambda_function.py", "lambda_function.py")
    client = boto3.client(
        "lambda", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=os.environ["AWS_DEFAULT_REGION"]
    )
    made = client.update_function_code(FunctionName=function, ZipFile=packed.getvalue())
    print(f"Lambda has code {made['CodeSha256'][:12]}", flush=True)


def stop():
    """End the app that runs, if the pid is still its own."""
    try:
        pid = int(Path("app.pid").read_text())
    except (OSError, ValueError):
        return
    told = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    if str(Path("serve.py").resolve()) not in told:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        os.kill(pid, sign)
        for _ in range(200):
            if not alive(pid):
                return
            time.sleep(0.05)
    sys.exit(f"the app that runs (pid {pid}) can't be ended")


def alive(pid):
    """Tell whether a process still runs; one that has ended and was not fetched yet does not."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(told.strip()) and not told.strip().startswith("Z")


def wait(url, app):
    """Wait until something answers, whatever it says."""
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=2)  # noqa: S310 - always http, on this machine
        except urllib.error.HTTPError:
            time.sleep(0.1)  # another app may answer at this address: ours ends then, because it can't listen
            if app.poll() is None:
                return
            sys.exit(f"something else answers at {url}: see app.log")
        except OSError:
            if app.poll() is not None:
                sys.exit(f"the app ended at once with status {app.returncode}: see app.log")
            time.sleep(0.05)
    sys.exit("the app does not answer")


if __name__ == "__main__":
    main()

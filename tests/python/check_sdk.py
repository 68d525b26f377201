"""The SDK for Python: its own tests, that pip installs it, and a plugin's way from an empty folder to a run in the sandbox.

Needs the program `airlock` (AIRLOCK_PROGRAM) and PyPI for its first run. Everything it makes lies under target/python.
"""

import json
import os
import shutil
import subprocess
import sys

import common

SDK = common.ROOT / "sdk-guest" / "python"
PLACE = common.PLACE / "sdk"
MISTAKES = {
    "numpy_dag.py": ("import numpy as np\n", "numpy_dag.py:1: numpy has native code"),
    "lambda_dag.py": ("from airflow.decorators import task\nx = task(lambda: 1)\n", "lambda_dag.py:2: task stands on a lambda"),
    "syntax_dag.py": ("def f(:\n", "syntax_dag.py:1: "),
}


def run(*command, code=0, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **more)
    if done.returncode != code:
        sys.exit(f"{command} ended with {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done


def main():
    program = os.environ.get("AIRLOCK_PROGRAM", str(common.TARGET / "debug" / "airlock"))
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    print(run(sys.executable, "-m", "unittest", "discover", "-s", SDK / "tests").stderr.strip().splitlines()[-1])

    shutil.copytree(SDK, PLACE / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", PLACE / "installed", PLACE / "source")
    run(sys.executable, "-c", "import airlock_sdk; print(airlock_sdk.__version__)", env={**os.environ, "PYTHONPATH": str(PLACE / "installed")})

    run(program, "plugins", "new", "greeter", "--lang", "python", cwd=PLACE)
    greeter = PLACE / "greeter"
    run(sys.executable, "-m", "unittest", cwd=greeter)
    run(program, "plugins", "build", greeter)
    config = json.dumps({"name": "you"})
    said = run(program, "plugins", "test", greeter / "greeter.wasm", "hello", "--config", config, "--json")
    if "hello you" not in said.stdout:
        sys.exit(f"the operator did not greet: {said.stdout}")

    for name, (text, sentence) in MISTAKES.items():
        (PLACE / name).write_text(text)
        refused = run(program, "plugins", "build", PLACE / name, code=2)
        if sentence not in refused.stderr:
            sys.exit(f"{name}: no {sentence!r} in {refused.stderr}")
    print("pip install, plugins new, build and test, and mistakes: ok")


if __name__ == "__main__":
    main()

"""Makes a component of Python files: reads them without running them, writes the world that they need, and has componentize-py
load them inside WebAssembly. It is a program of the builder's environment; it refuses to run anything of the author's out here."""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from airlock_sdk.scan import Found  # noqa: E402

LOAD_SECONDS_MAX = 120
"""How long componentize-py may take; an idle machine needs about ten seconds."""
FILES_MAX = 2000
REFUSED = 3
"""Exit code where the message on standard error is one for the author."""
SKIPPED = ("vendor", "build", "dist", "node_modules", "venv", "tests", "__pycache__")
MARK = "AIRLOCK-ERROR "


def files_of(path: pathlib.Path) -> tuple:
    """The folder that imports begin at, and the files, relative to it."""
    if path.is_file():
        return path.parent, [path.name]
    files = []
    for file in sorted(path.rglob("*.py")):
        inner = file.relative_to(path)
        hidden = any(part.startswith(".") or part in SKIPPED for part in inner.parts)
        if not hidden and not file.name.startswith(("test_", "conftest", "setup.", "__init__")):
            files.append(str(inner))
    return path, files[:FILES_MAX]


def read(folder: pathlib.Path, files: list) -> Found:
    """Everything that the files say before they run, with what they import of the same folder."""
    found, waiting, seen = Found(), list(files), set()
    while waiting:
        name = waiting.pop()
        if name in seen or not (folder / name).is_file():
            continue
        seen.add(name)
        before = set(found.modules)
        found.read(name, (folder / name).read_text(encoding="utf-8"))
        for module in found.modules - before:
            inner = module.replace(".", "/")
            waiting += [f"{inner}.py", f"{inner}/__init__.py"]
    return found


def world(interfaces: set) -> str:
    """What the component imports: what every task may do, and what its files ask for."""
    lines = [f"  import {name};" for name in ("types", "log", "progress", "clock", "xcom", *sorted(interfaces))]
    return "package airlock:operator@0.1.0;\n\nworld python {\n" + "\n".join(lines) + "\n  export guest;\n}\n"


def entry(files: list, name: str, found: Found) -> str:
    """The module that the component begins with."""
    return f"""import sys
from airlock_sdk import clocks
clocks.patch()
from airlock_sdk import entry
try:
    entry.load(entry.folder_of({files[0]!r}), {files!r}, {name!r}, {sorted(found.modules)!r}, {sorted(found.variables)!r})
except Exception as error:
    import json
    print({MARK!r} + json.dumps(str(error)), file=sys.stderr, flush=True)
    raise
from airlock_sdk import wasm
wasm.describe_now()
Guest = wasm.Guest
"""


def refuse(message: str):
    """Ends with a message for the author."""
    print(message, file=sys.stderr)
    sys.exit(REFUSED)


def build(source: pathlib.Path, out: pathlib.Path, name: str, contract: pathlib.Path, componentize: str) -> None:
    """Makes the component at `out`."""
    folder, files = files_of(source.resolve())
    if not files:
        refuse("there is no Python file in it")
    found = read(folder, files)
    if found.problems:
        refuse("\n".join(found.problems))
    with tempfile.TemporaryDirectory(prefix="airlock-python-") as stage:
        stage = pathlib.Path(stage)
        sdk = pathlib.Path(__file__).resolve().parent.parent
        shutil.copytree(contract, stage / "wit")
        (stage / "wit" / "python.wit").write_text(world(found.interfaces))
        (stage / "app").mkdir()
        here = pathlib.PurePosixPath("source")
        shutil.copytree(folder, stage / here, ignore=_left_out) if source.is_dir() else _copy_beside(folder, stage / here, found, files)
        (stage / "app" / "airlock_app.py").write_text(entry(files, name, found))
        command = [componentize, "-q", "-d", "wit", "-w", "python", "componentize", "airlock_app", "--stub-wasi",
                   "-p", "app", "-p", str(here), "-p", str(sdk), "-o", str(out.resolve())]
        zones = next((path for path in map(pathlib.Path, sys.path) if (path / "tzdata").is_dir()), None)
        if zones is not None:
            shutil.copytree(zones / "tzdata", stage / "zones" / "tzdata")
            command += ["-p", "zones"]
        _run(command, stage)


def _left_out(folder: str, names: list) -> list:
    return [name for name in names if name.startswith(".") or name in SKIPPED or name.endswith((".wasm", ".pyc"))]


def _copy_beside(folder: pathlib.Path, to: pathlib.Path, found: Found, files: list) -> None:
    """The file, the modules beside it that it imports, and texts that its templates may name."""
    to.mkdir(parents=True)
    wanted = {module.partition(".")[0] for module in found.modules}
    for path in folder.iterdir():
        module = path.is_file() and path.suffix == ".py" and path.stem in wanted
        package = path.is_dir() and path.name in wanted and (path / "__init__.py").is_file()
        if path.name in files or module:
            shutil.copy(path, to)
        elif package:
            shutil.copytree(path, to / path.name, ignore=_left_out)
        elif path.is_dir() and path.name in ("sql", "templates", "scripts"):
            shutil.copytree(path, to / path.name, ignore=_left_out)
        elif path.is_file() and path.suffix in (".sql", ".sh", ".json", ".txt", ".md", ".html"):
            shutil.copy(path, to)


def told(stderr: str):
    """The message for the author, which componentize-py puts behind words of its own; None where there is none."""
    for line in stderr.splitlines():
        _, mark, message = line.partition(MARK)
        if mark:
            # Inside, each folder of modules is mounted under a number, which says nothing to the author.
            return re.sub(r"(?<![\w/.])/\d+/(?=[\w./-]+\.py)", "", json.loads(message))
    return None


def _run(command: list, stage: pathlib.Path) -> None:
    try:
        done = subprocess.run(command, cwd=stage, capture_output=True, text=True, timeout=LOAD_SECONDS_MAX, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        refuse(f"it was not loaded within {LOAD_SECONDS_MAX} seconds: does something loop, or wait, while the file is loaded? "
               "What takes time belongs into a task")
    if done.returncode == 0:
        return
    message = told(done.stderr)
    if message is not None:
        refuse(message)
    print(re.sub(r"\n\nStack backtrace:.*", "", done.stderr, flags=re.DOTALL), file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--contract", type=pathlib.Path, required=True, help="the folder wit/ of Airlock")
    parser.add_argument("--componentize", required=True)
    asked = parser.parse_args()
    build(asked.source, asked.out, asked.name, asked.contract, str(pathlib.Path(asked.componentize).resolve()))

"""What the scripts that compare the trainer with other packages share: virtual environments, the example, the raw file format."""

import array
import json
import os
import struct
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PLACE = TARGET / "python"


def environment(name, packages):
    """The Python of the virtual environment `name` holding `packages`; one that was finished before is used again."""
    place = PLACE / name
    python, finished = place / "bin" / "python", place / "finished.json"
    # Another interpreter or another list of packages needs another environment.
    wanted = json.dumps([sys.version, packages])
    if finished.exists() and finished.read_text() == wanted:
        return python
    venv.create(place, clear=True, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    subprocess.run([*pip, *packages], check=True)
    finished.write_text(wanted)
    return python


def example():
    """The path of the built example `train_f32`. The whole workspace is built, so that features are those of every other build."""
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--examples"], cwd=ROOT, check=True)
    return TARGET / "debug" / "examples" / "train_f32"


def write_raw(path, rows, labels):
    """Rows and labels in the format that `train_f32` reads."""
    values = array.array("f", (x for row in rows for x in row))
    values.extend(labels)
    if sys.byteorder == "big":
        values.byteswap()
    path.write_bytes(struct.pack("<II", len(rows), len(rows[0])) + values.tobytes())


def run_example(binary, **settings):
    """Runs the example; yields the line that it prints."""
    flags = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    done = subprocess.run([binary, *flags], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)

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


def install(python, packages, *flags):
    """Wheels only, and only those that are named: nothing is built here, and no release of today changes what is compared."""
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps"]
    subprocess.run([*pip, *flags, *packages], check=True)


def is_finished(place, packages):
    """Another interpreter or another list of packages needs another folder."""
    finished = place / "finished.json"
    return finished.exists() and finished.read_text() == json.dumps([sys.version, packages])


def finish(place, packages):
    (place / "finished.json").write_text(json.dumps([sys.version, packages]))


def environment(name, packages):
    """The Python of the virtual environment `name` holding exactly `packages`; one that was finished before is used again."""
    place = PLACE / name
    python = place / "bin" / "python"
    if not is_finished(place, packages):
        venv.create(place, clear=True, with_pip=True)
        install(python, packages)
        finish(place, packages)
    return python


def overlay(python, name, packages):
    """A folder of further packages for PYTHONPATH, so that two versions of one package share an environment of large ones."""
    place = PLACE / name
    if not is_finished(place, packages):
        install(python, packages, "--target", place, "--upgrade")
        finish(place, packages)
    return place


def example():
    """The path of the built example `train_f32`. The whole workspace is built, so that features are those of every other build;
    AIRLOCK_TRAIN_F32 names one that is there already."""
    if path := os.environ.get("AIRLOCK_TRAIN_F32"):
        return Path(path)
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--examples"], cwd=ROOT, check=True)
    return TARGET / "debug" / "examples" / "train_f32"


def scorer_module():
    """The path of the guest's scorer as a bare WebAssembly module."""
    folder, target = ROOT / "sdk-guest" / "rust", TARGET / "guests-build"
    command = ["cargo", "rustc", "--quiet", "--release", "--locked", "-p", "airlock-scorer", "--example", "module", "--target", "wasm32-wasip2"]
    linking = ["--", "-C", "link-arg=--skip-wit-component", "-C", "link-arg=--no-entry"]
    subprocess.run([*command, *linking], cwd=folder, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, check=True)
    return target / "wasm32-wasip2" / "release" / "examples" / "module.wasm"


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

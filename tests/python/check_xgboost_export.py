#!/usr/bin/env python3
"""Loads the trainer's XGBoost export in the real XGBoost, 2.1.4 and the newest, and compares predictions with the trainer's own.

Usage: check_xgboost_export.py. Needs the network once (virtual environments in target/py). The 10,000 rows compared have missing
values and values exactly on cuts. Exits 1 when a probability differs by more than 1e-6, or a value by more than 1e-6 of the
labels' largest.
"""
import json, os, subprocess, sys, venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "py"
VERSIONS = {"xgb214": "xgboost==2.1.4", "xgbnew": "xgboost"}
TOLERANCE = 1e-6
ROWS, FEATURES = 10_000, 12
OBJECTIVES = ("binary-logistic", "squared-error")


def python_of(name):
    home = WORK / name
    if not (home / "bin" / "python").exists():
        venv.create(home, with_pip=True)
    subprocess.run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "numpy", VERSIONS[name]], check=True)
    return str(home / "bin" / "python")


def write_raw(path, x, y):
    import numpy as np

    with open(path, "wb") as file:
        np.array(x.shape, dtype="<u4").tofile(file)
        np.ascontiguousarray(x.T, dtype="<f4").tofile(file)
        y.astype("<f4").tofile(file)


def generate():
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(3))
    x = rng.normal(size=(30_000, FEATURES)).astype(np.float32)
    x[:, 3:6] = np.round(x[:, 3:6])
    x[rng.random(x.shape) < 0.05] = np.nan
    score = 2 * np.nan_to_num(x[:, 0]) - np.nan_to_num(x[:, 1] * x[:, 3]) + np.isnan(x[:, 2]) * 3 - 1
    write_raw(WORK / "binary-logistic.train.f32", x, (rng.random(len(x)) < 1 / (1 + np.exp(-score))).astype(np.float32))
    write_raw(WORK / "squared-error.train.f32", x, (score * 1000).astype(np.float32))
    return x[:ROWS], rng


def ours(objective, valid):
    run = [ROOT / "target/debug/examples/train_raw", WORK / f"{objective}.train.f32", valid, f"objective={objective}", "rounds=100",
           "lr=0.1", f"xgboost={WORK / objective}.json", f"scores={WORK / objective}.scores"]
    subprocess.run([str(part) for part in run], check=True, stdout=subprocess.DEVNULL)


def on_cuts(objective, x, rng):
    """Puts a cut of the model itself, bit for bit, into a third of the values."""
    import numpy as np

    cuts = [[] for _ in range(FEATURES)]
    for tree in json.loads((WORK / f"{objective}.json").read_text())["learner"]["gradient_booster"]["model"]["trees"]:
        for left, feature, cut in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"]):
            if left >= 0 and cut < 3e38:
                cuts[feature].append(cut)
    x = x.copy()
    for feature, values in enumerate(cuts):
        if values:
            rows = rng.random(len(x)) < 0.33
            x[rows, feature] = rng.choice(np.array(values, dtype=np.float32), rows.sum())
    return x


def compare(objective):
    """Runs where XGBoost is."""
    import numpy as np
    import xgboost

    rows, features = np.fromfile(WORK / f"{objective}.valid.f32", dtype="<u4", count=2)
    body = np.fromfile(WORK / f"{objective}.valid.f32", dtype="<f4", offset=8).reshape(features + 1, rows)
    booster = xgboost.Booster(model_file=WORK / f"{objective}.json")
    data = xgboost.DMatrix(body[:-1].T, feature_names=[f"f{n}" for n in range(features)])
    mine = np.fromfile(WORK / f"{objective}.scores", dtype="<f4").astype(np.float64)
    largest = 1.0 if objective == "binary-logistic" else float(np.abs(mine).max())
    difference = float(np.abs(booster.predict(data) - mine).max()) / largest
    print(f"xgboost {xgboost.__version__} {objective}: {rows} rows, largest difference {difference:.2e}")
    return 0 if difference <= TOLERANCE else 1


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--compare":
        return compare(sys.argv[2])
    home = WORK / "xgb214"
    if Path(sys.prefix) != home:
        python = python_of("xgb214")
        os.execv(python, [python, __file__])
    subprocess.run(["cargo", "build", "--quiet", "-p", "airlock-trainer", "--example", "train_raw"], check=True, cwd=ROOT)
    x, rng = generate()
    failed = 0
    for objective in OBJECTIVES:
        import numpy as np

        valid = WORK / f"{objective}.valid.f32"
        write_raw(valid, x, np.zeros(len(x)))
        ours(objective, valid)
        write_raw(valid, on_cuts(objective, x, rng), np.zeros(len(x)))
        ours(objective, valid)
        for name in VERSIONS:
            failed |= subprocess.run([python_of(name), __file__, "--compare", objective]).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())

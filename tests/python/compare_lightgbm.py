#!/usr/bin/env python3
"""Compares the trainer with LightGBM on one thread: CPU seconds and AUC on the same seeded data.

Usage: compare_lightgbm.py [churn|higgs] [REPEATS]. Needs the network once (a virtual environment in target/py).
Exits 1 when the AUCs differ by more than 0.002. CPU seconds are user + system, so that they mean something on a busy machine; the
runs are interleaved. LightGBM is charged for binning and training only, not for Python, reading or predicting; the trainer is
charged for its whole process.
"""
import json, os, resource, statistics, subprocess, sys, time, venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "py"
PACKAGES = ["numpy==2.2.6", "lightgbm==4.6.0"]
SHAPES = {"churn": (200_000, 50_000, 30, 1), "higgs": (1_000_000, 200_000, 28, 2)}
ROUNDS, RATE, DEPTH, LEAVES, BINS = 300, 0.05, 6, 64, 255
AUC_TOLERANCE = 0.002


def reenter():
    """Continues in a virtual environment that has the packages."""
    home = WORK / "compare"
    python = home / "bin" / "python"
    if Path(sys.prefix) == home:
        return
    if not python.exists():
        venv.create(home, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    os.execv(python, [str(python), __file__, *sys.argv[1:]])


def generate(shape):
    """Churn: skewed counts, a few categories, 0.8 % missing, about 8 % positives. Higgs: smooth columns, balanced."""
    import numpy as np

    rows_train, rows_valid, features, seed = SHAPES[shape]
    rng = np.random.Generator(np.random.PCG64(seed))
    n = rows_train + rows_valid
    x = rng.normal(size=(n, features)).astype(np.float32)
    logit = 0.9 * x[:, 0] + 0.7 * x[:, 1] * x[:, 2] - 0.6 * np.abs(x[:, 3]) + 0.5 * np.sin(2 * x[:, 4]) + 0.4 * x[:, 5]
    if shape == "churn":
        x[:, 6:12] = np.floor(np.exp(x[:, 6:12]) * 3)
        x[:, 12:16] = rng.integers(0, 5, size=(n, 4))
        logit += 0.15 * x[:, 6] - 0.3 * (x[:, 12] == 2) + 0.4 * (x[:, 13] > 3) - 3.4
        x[rng.random(x.shape) < 0.008] = np.nan
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    print(f"{shape}: {rows_train} x {features}, {y.mean():.3f} positive")
    for part, rows in (("train", slice(0, rows_train)), ("valid", slice(rows_train, n))):
        write_raw(WORK / f"{shape}.{part}.f32", x[rows], y[rows])


def write_raw(path, x, y):
    import numpy as np

    with open(path, "wb") as file:
        np.array(x.shape, dtype="<u4").tofile(file)
        np.ascontiguousarray(x.T, dtype="<f4").tofile(file)
        y.astype("<f4").tofile(file)


def read_raw(path):
    import numpy as np

    rows, features = np.fromfile(path, dtype="<u4", count=2)
    body = np.fromfile(path, dtype="<f4", offset=8).reshape(features + 1, rows)
    return body[:-1].T, body[-1]


def auc(scores, labels):
    import numpy as np

    order = np.argsort(scores, kind="stable")
    _, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = labels[order] == 1
    p, n = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))


def lightgbm(shape):
    """Runs in a process of its own."""
    import lightgbm as lgb

    x, y = read_raw(WORK / f"{shape}.train.f32")
    settings = dict(objective="binary", num_leaves=LEAVES, max_depth=DEPTH, learning_rate=RATE, max_bin=BINS, num_threads=1,
                    min_sum_hessian_in_leaf=1.0, min_data_in_leaf=1, lambda_l2=1.0, bin_construct_sample_cnt=len(y), verbose=-1)
    begun = time.process_time()
    booster = lgb.train(settings, lgb.Dataset(x, y, params=settings), num_boost_round=ROUNDS)
    cpu = time.process_time() - begun
    xv, yv = read_raw(WORK / f"{shape}.valid.f32")
    print(json.dumps({"cpu": cpu, "auc": auc(booster.predict(xv, num_threads=1), yv)}))


def measured(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    said = json.loads(out.splitlines()[-1])
    return said.get("cpu", cpu), said["auc"]


def main():
    reenter()
    shape = sys.argv[1] if len(sys.argv) > 1 else "churn"
    if shape == "--lightgbm":
        return lightgbm(sys.argv[2])
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    subprocess.run(["cargo", "build", "--quiet", "-p", "airlock-trainer", "--example", "train_raw"], check=True, cwd=ROOT)
    generate(shape)
    files = [WORK / f"{shape}.{part}.f32" for part in ("train", "valid")]
    ours = [ROOT / "target/debug/examples/train_raw", *files, f"rounds={ROUNDS}", f"lr={RATE}", f"depth={DEPTH}",
            f"leaves={LEAVES}", f"bins={BINS}", "min_child=1", "l2=1", "threads=1"]
    theirs = [sys.executable, __file__, "--lightgbm", shape]
    times = {"airlock": [], "lightgbm": []}
    aucs = {}
    for number in range(repeats):
        pair = [("airlock", ours), ("lightgbm", theirs)]
        for name, command in pair if number % 2 == 0 else reversed(pair):
            cpu, aucs[name] = measured(command)
            times[name].append(cpu)
            print(f"  {name:9} {cpu:7.2f} CPU s   AUC {aucs[name]:.5f}", flush=True)
    a, b = (statistics.median(times[name]) for name in ("airlock", "lightgbm"))
    difference = abs(aucs["airlock"] - aucs["lightgbm"])
    print(f"median: airlock {a:.2f} s, lightgbm {b:.2f} s, ratio {a / b:.2f}; AUC differs by {difference:.5f}")
    return 1 if difference > AUC_TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())

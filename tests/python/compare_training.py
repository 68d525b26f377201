"""CPU seconds, wall seconds, AUC and scoring speed of the trainer beside LightGBM, XGBoost, scikit-learn and hessboost.

`python3 tests/python/compare_training.py [--data churn,higgs] [--threads 1,2] [--repeats N] [--rounds N] [--only NAMES]`. Measures; no
part of the test run. Each package runs in a process of its own, one after the other; repeats go round, so that other work on the
machine falls on all. CPU seconds are of binning and training, all threads; data is made (seeded) and read outside of them. Needs
cargo, and PyPI for its first run. Exit 1 where an AUC differs from LightGBM's by more than AUC_TOLERANCE.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = [
    "numpy==2.4.6", "scipy==1.17.1", "lightgbm==4.7.0", "xgboost-cpu==3.2.0", "scikit-learn==1.9.1", "joblib==1.6.0",
    "threadpoolctl==3.8.0", "narwhals==2.29.0", "cloudpickle==3.1.2", "hessboost==0.3.0",
]
AUC_TOLERANCE = 0.005
SHAPES = {"churn": (200_000, 50_000, 30), "higgs": (1_000_000, 200_000, 28)}
ROUNDS, RATE, DEPTH, LEAVES, BINS = 300, 0.05, 6, 64, 255
# So many times the test rows are scored, so that the clock's ticks are small against it.
SCORINGS = 5


def churn(np, draw, count, features):
    """Eight per cent positives, 0.8 per cent missing values; amounts, counts, categories and noise."""
    x = draw.normal(size=(count, features)).astype("f4")
    x[:, 5:10] = np.exp(x[:, 5:10])
    x[:, 10:15] = draw.poisson(4, size=(count, 5))
    x[:, 15:18] = draw.integers(0, 12, size=(count, 3))
    score = x[:, 0] - 0.8 * x[:, 1] * (x[:, 15] > 6) + 0.6 * np.log(x[:, 5]) * x[:, 2] - 0.3 * (x[:, 10] - 4)
    score += 0.7 * (x[:, 11] > 6) + 0.5 * np.abs(x[:, 3]) + draw.logistic(size=count) * 0.8
    label = score > np.quantile(score, 0.92)
    x[draw.random(x.shape) < 0.008] = np.nan
    return x, label


def higgs(np, draw, count, features):
    """Shaped like HIGGS: 21 measured columns and seven that are made of them, half positives, much noise."""
    x = draw.normal(size=(count, features)).astype("f4")
    x[:, 21:] = np.abs(x[:, :7] * x[:, 7:14] - x[:, 14:21] ** 2)
    score = 0.4 * x[:, 21] - 0.5 * x[:, 22] * (x[:, 0] > 0) + 0.6 * np.sin(2 * x[:, 1]) * x[:, 2] + 0.3 * x[:, 23] * x[:, 24]
    score += draw.logistic(size=count) * 0.9
    return x, score > np.median(score)


def make(place):
    """Writes both data sets in the format of `train_f32`, once."""
    import numpy as np

    for name, (train, test, features) in SHAPES.items():
        files = [place / f"{name}.train.f32", place / f"{name}.test.f32"]
        if all(path.exists() for path in files):
            continue
        x, label = globals()[name](np, np.random.default_rng(20), train + test, features)
        for path, part in zip(files, (slice(0, train), slice(train, None))):
            head = np.array(x[part].shape, "<u4").tobytes()
            path.write_bytes(head + x[part].astype("<f4").tobytes() + label[part].astype("<f4").tobytes())


def load(np, path):
    rows, features = np.fromfile(path, "<u4", 2)
    cells = np.fromfile(path, "<f4", offset=8)
    return cells[: rows * features].reshape(rows, features), cells[rows * features :]


def auc(np, scores, label):
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = label > 0.5
    above = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(above / (positive.sum() * (~positive).sum()))


def lightgbm(x, y, rounds, threads):
    import lightgbm as package

    settings = {
        "objective": "binary", "num_threads": threads, "learning_rate": RATE, "num_leaves": LEAVES, "max_depth": DEPTH,
        "max_bin": BINS, "lambda_l2": 1.0, "min_sum_hessian_in_leaf": 1.0, "min_data_in_leaf": 1, "verbose": -1, "seed": 1,
    }
    booster = package.train(settings, package.Dataset(x, y, params=settings), num_boost_round=rounds)
    return lambda rows: booster.predict(rows, num_threads=threads)


def xgboost(x, y, rounds, threads):
    import xgboost as package

    settings = {
        "objective": "binary:logistic", "nthread": threads, "learning_rate": RATE, "max_depth": DEPTH, "max_bin": BINS,
        "tree_method": "hist", "lambda": 1.0, "min_child_weight": 1.0, "seed": 1,
    }
    matrix = package.QuantileDMatrix(x, y, max_bin=BINS, nthread=threads)
    booster = package.train(settings, matrix, num_boost_round=rounds)
    return booster.inplace_predict


def sklearn(x, y, rounds, threads):
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=RATE, max_iter=rounds, max_depth=DEPTH, max_leaf_nodes=LEAVES, max_bins=BINS, l2_regularization=1.0,
        min_samples_leaf=1, early_stopping=False, random_state=1,
    ).fit(x, y)
    return lambda rows: model.predict_proba(rows)[:, 1]


def hessboost(x, y, rounds, threads):
    import hessboost as package

    settings = {
        "objective": "binary:logistic", "nthread": threads, "learning_rate": RATE, "max_depth": DEPTH, "max_bin": BINS,
        "tree_method": "hist", "lambda": 1.0, "min_child_weight": 1.0, "seed": 1,
    }
    booster = package.train(settings, package.DMatrix(x, y), num_boost_round=rounds)
    return lambda rows: booster.predict(package.DMatrix(rows))


def measure(name, files, rounds, threads):
    """In a process of its own: what one package needs; printed as JSON."""
    import numpy as np

    (x, y), (fresh, label) = (load(np, path) for path in files)
    cpu, wall = time.process_time(), time.perf_counter()
    predict = globals()[name](x, y, rounds, threads)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    predict(fresh[:1000])
    begun = time.process_time()
    for _ in range(SCORINGS):
        scores = predict(fresh)
    score_cpu = (time.process_time() - begun) / SCORINGS
    print(json.dumps({"cpu_s": cpu, "wall_s": wall, "auc": auc(np, scores, label), "score_cpu_s": score_cpu}))


def ours(common, binary, files, rounds, threads):
    return common.run_example(
        binary, train=files[0], test=files[1], rounds=rounds, learning_rate=RATE, max_depth=DEPTH, max_bins=BINS, threads=threads,
        score_repeats=SCORINGS,
    )


def theirs(python, name, files, rounds, threads):
    # scikit-learn's and XGBoost's scoring take their threads from here.
    limits = {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    command = [python, Path(__file__).resolve(), "--measure", name, *map(str, files), str(rounds), str(threads)]
    done = subprocess.run(command, env={**os.environ, **limits}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="churn,higgs")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="airlock,lightgbm,xgboost,sklearn,hessboost")
    return parser.parse_args()


def main():
    if sys.argv[1:2] == ["--measure"]:
        name, train, test, rounds, threads = sys.argv[2:]
        return measure(name, (train, test), int(rounds), int(threads))
    if sys.argv[1:2] == ["--make"]:
        return make(Path(sys.argv[2]))
    import common

    asked = arguments()
    binary, python = common.example(), common.environment("compare", PACKAGES)
    place = common.PLACE / "compare-data"
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run([python, Path(__file__).resolve(), "--make", place], check=True)
    names, failed = asked.only.split(","), False
    for data in asked.data.split(","):
        files = [place / f"{data}.train.f32", place / f"{data}.test.f32"]
        for threads in map(int, asked.threads.split(",")):
            found = {name: [] for name in names}
            for _ in range(asked.repeats):
                for name in names:
                    run = ours(common, binary, files, asked.rounds, threads) if name == "airlock" else theirs(python, name, files, asked.rounds, threads)
                    found[name].append(run)
            failed |= report(data, threads, asked.rounds, found)
    return 1 if failed else 0


def report(data, threads, rounds, found):
    """A table of means; the spread of CPU seconds over the repeats beside them."""
    train, test, features = SHAPES[data]
    load_average = os.getloadavg()[0]
    print(f"\n{data}: {train} x {features}, {rounds} trees of depth {DEPTH}, {threads} threads; load average {load_average:.1f}")
    print(f"{'':10} {'CPU s':>8} {'spread':>14} {'wall s':>8} {'AUC':>8} {'ns a row-tree scored':>21}")
    for name, runs in found.items():
        mean = {key: statistics.mean(run[key] for run in runs) for key in ("cpu_s", "wall_s", "auc", "score_cpu_s")}
        spread = f"{min(run['cpu_s'] for run in runs):.2f}-{max(run['cpu_s'] for run in runs):.2f}"
        per_row = mean["score_cpu_s"] / test / rounds * 1e9
        print(f"{name:10} {mean['cpu_s']:8.2f} {spread:>14} {mean['wall_s']:8.2f} {mean['auc']:8.4f} {per_row:21.1f}", flush=True)
    best = found.get("lightgbm", found[next(iter(found))])[0]["auc"]
    odd = [name for name, runs in found.items() if abs(runs[0]["auc"] - best) > AUC_TOLERANCE]
    if odd:
        print(f"the AUC of {', '.join(odd)} differs by more than {AUC_TOLERANCE}")
    return bool(odd)


if __name__ == "__main__":
    sys.exit(main())

"""CPU seconds and AUC of the trainer and of LightGBM, one thread each, on made-up churn data. Measures; no part of the test run.

Needs cargo, and PyPI for its first run. Exit 1 where the AUCs differ by more than AUC_TOLERANCE.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

LIGHTGBM = "4.7.0"
AUC_TOLERANCE = 0.002
TRAIN, TEST, FEATURES = 200_000, 50_000, 30
ROUNDS, RATE, DEPTH, LEAVES, BINS = 300, 0.05, 6, 64, 255
REPEATS = 2


def churn(np):
    """Eight per cent positives, 0.8 per cent missing values; amounts, counts, categories and noise."""
    draw = np.random.default_rng(20)
    count = TRAIN + TEST
    x = draw.normal(size=(count, FEATURES)).astype("f4")
    x[:, 5:10] = np.exp(x[:, 5:10])
    x[:, 10:15] = draw.poisson(4, size=(count, 5))
    x[:, 15:18] = draw.integers(0, 12, size=(count, 3))
    score = x[:, 0] - 0.8 * x[:, 1] * (x[:, 15] > 6) + 0.6 * np.log(x[:, 5]) * x[:, 2] - 0.3 * (x[:, 10] - 4)
    score += 0.7 * (x[:, 11] > 6) + 0.5 * np.abs(x[:, 3]) + draw.logistic(size=count) * 0.8
    label = (score > np.quantile(score, 0.92)).astype("f4")
    x[draw.random(x.shape) < 0.008] = np.nan
    return x, label


def auc(np, scores, label):
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = label > 0.5
    above = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return above / (positive.sum() * (~positive).sum())


def theirs(np, lightgbm, x, label):
    settings = {
        "objective": "binary", "num_threads": 1, "learning_rate": RATE, "num_leaves": LEAVES, "max_depth": DEPTH,
        "max_bin": BINS, "lambda_l2": 1.0, "min_sum_hessian_in_leaf": 1.0, "min_data_in_leaf": 1, "verbose": -1, "seed": 1,
    }
    begun = time.process_time()
    data = lightgbm.Dataset(x[:TRAIN], label[:TRAIN], params=settings).construct()
    booster = lightgbm.train(settings, data, num_boost_round=ROUNDS)
    spent = time.process_time() - begun
    return spent, auc(np, booster.predict(x[TRAIN:], num_threads=1), label[TRAIN:])


def measure(binary):
    import lightgbm
    import numpy as np

    import common

    x, label = churn(np)
    place = common.PLACE / "lightgbm-data"
    place.mkdir(parents=True, exist_ok=True)
    files = {"train": place / "train.f32", "test": place / "test.f32"}
    for name, part in (("train", slice(0, TRAIN)), ("test", slice(TRAIN, None))):
        head = np.array(x[part].shape, "<u4").tobytes()
        files[name].write_bytes(head + x[part].astype("<f4").tobytes() + label[part].astype("<f4").tobytes())
    cpu = {"airlock": [], "lightgbm": []}
    for _ in range(REPEATS):
        ours = common.run_example(
            binary, **files, rounds=ROUNDS, learning_rate=RATE, max_depth=DEPTH, max_leaves=LEAVES, max_bins=BINS,
            growth="lossguide", threads=1,
        )
        cpu["airlock"].append(ours["cpu_s"])
        spent, their_auc = theirs(np, lightgbm, x, label)
        cpu["lightgbm"].append(spent)
        print(f"airlock {ours['cpu_s']:.2f} s (binning {ours['bin_cpu_s']:.2f} s), lightgbm {spent:.2f} s of CPU", flush=True)
    ratio = statistics.mean(cpu["airlock"]) / statistics.mean(cpu["lightgbm"])
    print(f"airlock / lightgbm {lightgbm.__version__} CPU: {ratio:.2f}; AUC {ours['auc']:.5f} and {their_auc:.5f}")
    if abs(ours["auc"] - their_auc) > AUC_TOLERANCE:
        print(f"the AUCs differ by more than {AUC_TOLERANCE}")
        return 1
    return 0


def main():
    if sys.argv[1:2] == ["--measure"]:
        return measure(sys.argv[2])
    import common

    python = common.environment(f"lightgbm-{LIGHTGBM}", [f"lightgbm=={LIGHTGBM}", "numpy==2.2.6"])
    return subprocess.run([python, Path(__file__).resolve(), "--measure", common.example()], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

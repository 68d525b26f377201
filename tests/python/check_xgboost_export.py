"""Models exported as XGBoost JSON must predict in XGBoost what they predict here.

Needs cargo, and PyPI for its first run. Everything it makes lies under target/python. Exit 1 where a prediction differs by more
than TOLERANCE, or where the check itself would prove nothing.
"""

import json
import math
import random
import struct
import subprocess
import sys
from pathlib import Path

# The newest, and the one whose format is written: 3.x writes base_score as a list, 2.1 knows only scalars.
XGBOOST = ["3.2.0", "2.1.4"]
TOLERANCE = 1e-6
ROWS = 3000
CASES = {
    "depthwise": {"rounds": 60, "max_depth": 6, "learning_rate": 0.15},
    "lossguide": {"rounds": 40, "max_depth": 0, "max_leaves": 31, "growth": "lossguide", "max_bins": 64},
    "sampled": {"rounds": 40, "subsample": 0.6, "seed": 5, "min_child_weight": 0},
    "regression": {"rounds": 40, "objective": "squared-error"},
    "rare": {"rounds": 20},
    "root_only": {"rounds": 3, "min_child_weight": 1e9},
}


def table(seed):
    """Seven features: normal, few distinct values, missing ones, mostly zero, huge, tiny, and one that is never missing in training."""
    draw = random.Random(seed)
    rows = []
    for _ in range(ROWS):
        sparse = draw.gauss(0, 1) if draw.random() < 0.1 else 0.0
        missing = math.nan if draw.random() < 0.15 else draw.gauss(0, 1)
        rows.append([
            draw.gauss(0, 1), float(draw.randrange(7)), missing, sparse,
            draw.gauss(0, 1) * 1e30, draw.gauss(0, 1) * 1e-30, draw.random(),
        ])
    return rows


def label(case, row, draw):
    known = 0.0 if math.isnan(row[2]) else row[2]
    score = row[0] - 0.4 * row[1] + known * row[3] + row[4] / 1e30 + row[5] / 1e-30 + (row[6] > 0.7) + 0.5
    if case == "regression":
        return math.tanh(score / 3)
    shift = 6 if case == "rare" else 0
    return float(draw.random() < 1 / (1 + math.exp(shift - score)))


def neighbours(x):
    """The f32 just below `x`, `x`, and the one just above, for a finite x that is not zero."""
    (bits,) = struct.unpack("<i", struct.pack("<f", x))
    return [struct.unpack("<f", struct.pack("<i", bits + step))[0] for step in (-1, 0, 1)]


def on_cuts(model, rows):
    """Copies of `rows`, each with one value exactly on, just under or just over a cut of the model, or missing."""
    cuts = set()
    for tree in json.loads(model.read_text())["learner"]["gradient_booster"]["model"]["trees"]:
        for left, feature, cut in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"]):
            # The largest f32 sends every value left: nothing lies over it.
            if left != -1 and cut != 0 and abs(cut) < 3e38:
                cuts.add((feature, cut))
    changed = []
    for place, (feature, cut) in enumerate(sorted(cuts)):
        for value in [*neighbours(cut), math.nan]:
            row = list(rows[place % len(rows)])
            row[feature] = value
            changed.append(row)
    return changed


def make(common, binary, case, settings):
    """Trains, and scores fresh rows and rows on the cuts; yields the names of the files for XGBoost."""
    place = common.PLACE / "export" / case
    place.mkdir(parents=True, exist_ok=True)
    train, test, model, scores = (place / name for name in ("train.f32", "test.f32", "model.json", "scores.f32"))
    rows, fresh, draw = table(1), table(2), random.Random(3)
    common.write_raw(train, rows, [label(case, row, draw) for row in rows])
    common.run_example(binary, train=train, model=model, **settings)
    fresh += on_cuts(model, fresh)
    for row in fresh[::11]:
        row[6] = math.nan
    common.write_raw(test, fresh, [0.0] * len(fresh))
    common.run_example(binary, train=train, test=test, model=model, predictions=scores, **settings)
    return [str(path) for path in (model, test, scores)]


def compare(cases):
    """Runs inside a virtual environment; prints for each case the largest difference."""
    import numpy as np
    import xgboost

    failures = 0
    for case, (model, test, scores) in cases.items():
        rows, features = np.fromfile(test, "<u4", 2)
        data = np.fromfile(test, "<f4", rows * features, offset=8).reshape(rows, features)
        ours = np.fromfile(scores, "<f4")
        booster = xgboost.Booster(model_file=model)
        names = [f"f{feature}" for feature in range(features)]
        theirs = booster.predict(xgboost.DMatrix(data, feature_names=names, feature_types=["float"] * features))
        worst = float(np.max(np.abs(ours.astype("f8") - theirs.astype("f8"))))
        spread = float(np.ptp(theirs))
        proves = len(ours) == rows and (spread > 0.05 or case == "root_only")
        verdict = "ok" if proves and worst <= TOLERANCE else "FAILED"
        failures += verdict != "ok"
        print(f"xgboost {xgboost.__version__} {case}: max |dp| = {worst:.2e} over {rows} rows, range {spread:.3f}: {verdict}")
    return failures


def main():
    if sys.argv[1:2] == ["--compare"]:
        return 1 if compare(json.loads(sys.argv[2])) else 0
    import common

    binary = common.example()
    cases = {case: make(common, binary, case, settings) for case, settings in CASES.items()}
    failed = []
    for version in XGBOOST:
        python = common.environment(f"xgboost-{version}", [f"xgboost-cpu=={version}", "numpy==2.2.6"])
        if subprocess.run([python, Path(__file__).resolve(), "--compare", json.dumps(cases)], check=False).returncode:
            failed.append(version)
    if failed:
        print(f"the XGBoost export is wrong for xgboost {', '.join(failed)}: see the lines FAILED or the error above")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

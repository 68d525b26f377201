"""Models of every kind, trained on awkward data, each with rows that lie on its cuts."""

import json
import math
import random
import struct

ROWS = 3000
CASES = {
    "depthwise": {"rounds": 60, "max_depth": 6, "learning_rate": 0.15},
    "lossguide": {"rounds": 40, "max_depth": 0, "max_leaves": 31, "growth": "lossguide", "max_bins": 64},
    "sampled": {"rounds": 40, "subsample": 0.6, "seed": 5, "min_child_weight": 0},
    "regression": {"rounds": 40, "objective": "squared-error"},
    "rare": {"rounds": 20},
    "root_only": {"rounds": 3, "min_child_weight": 1e9},
    "softmax": {"rounds": 25, "objective": "softmax", "classes": 4, "max_depth": 4},
    "softmax_root_only": {"rounds": 2, "objective": "softmax", "classes": 4, "min_child_weight": 1e9},
    "forest": {"algorithm": "random-forest", "trees": 30, "max_depth": 9, "classes": 2},
    "forest_classes": {"algorithm": "random-forest", "trees": 12, "max_depth": 7, "classes": 4},
    "forest_regression": {"algorithm": "random-forest", "trees": 12, "max_depth": 8},
    "logistic": {"algorithm": "logistic", "l2": 2.0},
    "mlp": {"algorithm": "mlp", "epochs": 6, "hidden": "16,8", "learning_rate": 0.01},
    "mlp_softmax": {"algorithm": "mlp", "epochs": 6, "objective": "softmax", "classes": 4, "learning_rate": 0.01},
    "mlp_regression": {"algorithm": "mlp", "epochs": 6, "objective": "squared-error", "hidden": "12", "learning_rate": 0.01},
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
    if "regression" in case:
        return math.tanh(score / 3)
    if CASES[case].get("classes") == 4:
        return float(min(3, max(0, math.floor(score + draw.gauss(0, 0.5) + 2))))
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
                cuts.add((feature, struct.unpack("<f", struct.pack("<f", cut))[0]))
    changed = []
    for place, (feature, cut) in enumerate(sorted(cuts)):
        for value in [*neighbours(cut), math.nan]:
            row = list(rows[place % len(rows)])
            row[feature] = value
            changed.append(row)
    return changed


def make(common, binary, case, settings):
    """Trains, and scores fresh rows and rows on the cuts; yields what the readers compare."""
    place = common.PLACE / "export" / case
    place.mkdir(parents=True, exist_ok=True)
    train, test, scores = (place / name for name in ("train.f32", "test.f32", "scores.f32"))
    rows, fresh, draw = table(1), table(2), random.Random(3)
    common.write_raw(train, rows, [label(case, row, draw) for row in rows])
    said = common.run_example(binary, train=train, exports=place, **settings)
    trees = place / "model.xgboost-json"
    if trees.exists():
        fresh += on_cuts(trees, fresh)
    for row in fresh[::11]:
        row[6] = math.nan
    common.write_raw(test, fresh, [0.0] * len(fresh))
    common.run_example(binary, train=train, test=test, predictions=scores, **settings)
    return {"place": str(place), "settings": settings, "coefficients": said.get("coefficients"), "intercept": said.get("intercept")}

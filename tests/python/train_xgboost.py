"""Runs inside an environment with XGBoost: trains models there, saves them as JSON, and writes what XGBoost predicts with them."""

import sys
from pathlib import Path

import numpy as np
import xgboost

SETTINGS = {
    "binary": {"objective": "binary:logistic", "max_depth": 5},
    "regression": {"objective": "reg:squarederror", "max_depth": 7},
    "softprob": {"objective": "multi:softprob", "num_class": 4, "max_depth": 4, "num_parallel_tree": 2, "subsample": 0.7},
    "lossguide": {"objective": "binary:logistic", "max_leaves": 20, "grow_policy": "lossguide", "max_depth": 0},
}


def main():
    place = Path(sys.argv[1])
    draw = np.random.default_rng(4)
    data = draw.normal(size=(2000, 5)).astype("f4")
    data[draw.random(data.shape) < 0.1] = np.nan
    known = np.nan_to_num(data)
    score = known[:, 0] + known[:, 1] * known[:, 2] + draw.normal(size=len(data)) * 0.3
    names = [f"f{feature}" for feature in range(data.shape[1])]
    for name, settings in SETTINGS.items():
        label = {"regression": score, "softprob": np.digitize(score, [-1, 0, 1])}.get(name, score > 0)
        matrix = xgboost.DMatrix(data, label, feature_names=names)
        booster = xgboost.train({**settings, "nthread": 1, "seed": 1}, matrix, num_boost_round=20)
        booster.save_model(place / f"{name}.json")
        np.asarray(booster.predict(matrix), "<f4").tofile(place / f"{name}.scores")
    head = np.array(data.shape, "<u4").tobytes()
    (place / "test.f32").write_bytes(head + data.astype("<f4").tobytes() + np.zeros(len(data), "<f4").tobytes())


if __name__ == "__main__":
    main()

"""Runs inside an environment of readers: asks each what it makes of the exported files, and prints how far it is from the trainer."""

import json
import os
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

# XGBoost and LightGBM add leaves in an order or precision of their own; ONNX Runtime and a network compute in f32 throughout.
TOLERANCE = {"xgboost": 1e-6, "lightgbm": 1e-6, "onnxruntime": 5e-6, "safetensors": 1e-5, "hessboost": 1e-6}
ROOT_ONLY = "root_only"


def load(path):
    rows, features = np.fromfile(path, "<u4", 2)
    cells = np.fromfile(path, "<f4", offset=8)
    return cells[: rows * features].reshape(rows, features), cells[rows * features :]


def judge(reader, version, case, theirs, ours):
    """Whether `theirs` are our scores, and the scores are such that this proves something."""
    theirs = np.asarray(theirs, "f8").reshape(len(theirs), -1)
    same_shape = theirs.size == ours.size
    worst = float(np.max(np.abs(theirs.ravel() - ours))) if same_shape else float("nan")
    spread = float(np.max(np.ptp(theirs, axis=0)))
    is_right = same_shape and worst <= TOLERANCE[reader] and (spread > 0.05 or ROOT_ONLY in case)
    verdict = "ok" if is_right else "FAILED"
    print(f"{reader} {version} {case}: max difference {worst:.2e} over {len(theirs)} rows, range {spread:.3f}: {verdict}")
    return not is_right


def xgboost(case, place, data, ours):
    import xgboost

    failures = 0
    # Lists in base_score are read from 3.1 on.
    vectors = [".xgboost-json-vector"] if int(xgboost.__version__.split(".")[0]) >= 3 else []
    for suffix in [".xgboost-json", *vectors]:
        path = place / f"model{suffix}"
        if path.exists():
            booster = xgboost.Booster()
            booster.load_model(bytearray(path.read_bytes()))
            names = [f"f{feature}" for feature in range(data.shape[1])]
            matrix = xgboost.DMatrix(data, feature_names=names, feature_types=["float"] * len(names))
            failures += judge("xgboost", xgboost.__version__ + suffix[8:], case, booster.predict(matrix), ours)
    return failures


def lightgbm(case, place, data, ours):
    import lightgbm

    path = place / "model.lightgbm-text"
    if not path.exists():
        return 0
    booster = lightgbm.Booster(model_file=str(path))
    return judge("lightgbm", lightgbm.__version__, case, booster.predict(data.astype("f8"), num_threads=1), ours)


def hessboost(case, place, data, ours):
    import hessboost as package

    path = place / "model.xgboost-json-vector"
    if not path.exists():
        return 0
    booster = package.Booster()
    booster.load_model(path.read_bytes())
    matrix = package.DMatrix(data, feature_names=[f"f{feature}" for feature in range(data.shape[1])])
    return judge("hessboost", metadata.version("hessboost"), case, booster.predict(matrix), ours)


def onnxruntime(case, place, data, ours):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(place / "model.onnx"), options, providers=["CPUExecutionProvider"])
    outputs = dict(zip([output.name for output in session.get_outputs()], session.run(None, {"features": data})))
    if "variable" in outputs:
        return judge("onnxruntime", onnxruntime.__version__, case, outputs["variable"], ours)
    probabilities = outputs["probabilities"]
    theirs = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
    failed = judge("onnxruntime", onnxruntime.__version__, case, theirs, ours)
    best = probabilities.argmax(axis=1)
    if not np.array_equal(outputs["label"], best):
        print(f"onnxruntime {case}: labels are not the most probable classes: FAILED")
        failed = True
    return failed


def safetensors(case, place, data, ours):
    """The network as anybody would compute it from the tensors."""
    import safetensors as package
    from safetensors.numpy import load_file

    path = place / "model.safetensors"
    if not path.exists():
        return 0
    tensors = load_file(path)
    standard = (data.astype("f8") - tensors["scaler.mean"]) / tensors["scaler.scale"]
    standard = np.where(np.isnan(standard), 0, standard)
    if "coefficients" in tensors:
        margin = standard @ tensors["coefficients"] + tensors["intercept"]
        return judge("safetensors", package.__version__, case, 1 / (1 + np.exp(-margin)), ours)
    value, layers = standard.astype("f4"), sum(name.endswith(".weight") for name in tensors)
    for layer in range(layers):
        value = value @ tensors[f"layers.{layer}.weight"].T + tensors[f"layers.{layer}.bias"]
        if layer + 1 < layers:
            value = np.maximum(value, 0)
    offset, unit = tensors["target"]
    if value.shape[1] > 1:
        value = np.exp(value - value.max(axis=1, keepdims=True))
        value /= value.sum(axis=1, keepdims=True)
    elif "regression" not in case:
        value = 1 / (1 + np.exp(-value))
    return judge("safetensors", package.__version__, case, value * unit + offset, ours)


def wasm(case, place, data, ours):
    """The guest's scorer, in WebAssembly: the same bits, not almost the same numbers."""
    import ctypes

    import wasmtime

    path, model = Path(os.environ["AIRLOCK_SCORER"]), (place / "model.airlock").read_bytes()
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module.from_file(store.engine, str(path)), []).exports(store)
    memory, room = exports["memory"], 1 << 16
    # Behind what the module uses itself: model, rows, scratch, scores.
    begin = memory.data_len(store)
    places = np.cumsum([begin, -(-len(model) // 8) * 8, data.nbytes, 4 * room]).tolist()
    memory.grow(store, -(-(places[3] + 4 * len(ours) - begin) // 65536))
    memory.write(store, model, places[0])
    memory.write(store, np.ascontiguousarray(data, "<f4").tobytes(), places[1])
    outputs = exports["score"](store, places[0], len(model), places[1], len(data), places[2], room, places[3])
    base = ctypes.addressof(memory.data_ptr(store).contents) + places[3]
    theirs = np.frombuffer(ctypes.string_at(base, 4 * len(data) * outputs), "<u4")
    is_right = np.array_equal(theirs, ours.astype("<f4").view("<u4"))
    print(f"wasm ({path.stat().st_size} bytes) {case}: {len(theirs)} scores, {'the same bits: ok' if is_right else 'FAILED'}")
    return not is_right


def sklearn(case, place, said):
    """The same loss minimised by somebody else, on columns scaled the same way."""
    if case != "logistic":
        return 0
    import sklearn
    from sklearn.linear_model import LogisticRegression

    data, label = load(place / "train.f32")
    mean, scale = np.nanmean(data.astype("f8"), axis=0), np.nanstd(data.astype("f8"), axis=0)
    standard = np.nan_to_num((data.astype("f8") - mean) / scale)
    model = LogisticRegression(C=1 / said["settings"]["l2"], tol=1e-12, max_iter=1000, solver="lbfgs").fit(standard, label)
    raw = np.array(said["coefficients"])
    ours = np.append(raw * scale, said["intercept"] + raw @ mean)
    worst = float(np.max(np.abs(ours - np.append(model.coef_[0], model.intercept_))))
    is_right = worst < 1e-4 and np.max(np.abs(ours)) > 0.5
    print(f"sklearn {sklearn.__version__} {case}: coefficients differ by {worst:.2e}: {'ok' if is_right else 'FAILED'}")
    return not is_right


def main():
    readers, cases = sys.argv[1].split(","), json.loads(sys.argv[2])
    failures = 0
    for case, said in cases.items():
        place = Path(said["place"])
        data, _ = load(place / "test.f32")
        ours = np.fromfile(place / "scores.f32", "<f4").astype("f8")
        for reader in readers:
            if reader == "sklearn":
                failures += sklearn(case, place, said)
            else:
                failures += globals()[reader](case, place, data, ours)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Models must mean in other programs what they mean here: exported files in their own readers, and XGBoost's models here.

Needs cargo, and PyPI for its first run (about 120 MB of wheels). Everything it makes lies under target/python. Exit 1 where a
prediction differs by more than its tolerance, or where the check itself would prove nothing.
"""

import array
import json
import os
import subprocess
import sys
from pathlib import Path

import cases
import common

READERS = [
    "numpy==2.4.6", "scipy==1.17.1", "lightgbm==4.7.0", "onnxruntime==1.31.1", "flatbuffers==25.12.19", "protobuf==7.36.2",
    "packaging==26.3", "safetensors==0.8.0", "scikit-learn==1.9.1", "joblib==1.6.0", "threadpoolctl==3.8.0", "narwhals==2.29.0",
    "cloudpickle==3.1.2", "hessboost==0.3.0", "wasmtime==48.0.0",
]
# The format that is written, and the newest: 3.x writes base_score as a list, 2.1 knows only scalars.
XGBOOST = ["xgboost-cpu==2.1.4", "xgboost-cpu==3.2.0"]
if sys.version_info >= (3, 12):
    # No wheel for an older Python.
    XGBOOST.append("xgboost-cpu==3.4.1")
IMPORT_TOLERANCE = 1e-5
HERE = Path(__file__).resolve().parent


def read_exports(python, readers, made, **environment):
    command = [python, HERE / "read_exports.py", readers, json.dumps(made)]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def check_imports(binary, python, package):
    """Models that XGBoost trained must score here as they do there."""
    place = common.PLACE / "import" / package
    place.mkdir(parents=True, exist_ok=True)
    overlay = common.overlay(python, package, [package])
    subprocess.run([python, HERE / "train_xgboost.py", place], env={**os.environ, "PYTHONPATH": str(overlay)}, check=True)
    failures = 0
    for model in sorted(place.glob("*.json")):
        if model.name == "finished.json":
            continue
        scores = model.with_suffix(".ours")
        common.run_example(binary, **{"import": model}, test=place / "test.f32", predictions=scores)
        theirs, ours = (array.array("f", path.read_bytes()) for path in (model.with_suffix(".scores"), scores))
        worst = max(abs(one - other) for one, other in zip(theirs, ours, strict=True))
        is_right = worst <= IMPORT_TOLERANCE and max(ours) - min(ours) > 0.5
        failures += not is_right
        print(f"{package} {model.stem} read here: max difference {worst:.2e} over {len(ours)} scores: {'ok' if is_right else 'FAILED'}")
    return failures


def main():
    binary = common.example()
    made = {case: cases.make(common, binary, case, settings) for case, settings in cases.CASES.items()}
    python = common.environment("readers", READERS)
    failures = read_exports(python, "lightgbm,onnxruntime,safetensors,sklearn,hessboost,wasm", made, AIRLOCK_SCORER=str(common.scorer_module()))
    for package in XGBOOST:
        overlay = common.overlay(python, package, [package])
        failures += read_exports(python, "xgboost", made, PYTHONPATH=str(overlay))
        failures += check_imports(binary, python, package)
    if failures:
        print("a model means something else elsewhere: see the lines FAILED or the errors above")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

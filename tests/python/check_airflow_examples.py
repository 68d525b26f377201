"""Airflow's own example DAGs, built unchanged into one component and run: each must end in the states in which Airflow ends it.

Needs the program `airlock` (AIRLOCK_PROGRAM) and PyPI for its first run: the two wheels that hold the examples, and what
`airlock plugins build` fetches. Airflow itself is not installed; its answers are in tests/fixtures/airflow_examples.json, recorded
from `dag.test()` of the versions below at the date below. Exit 1 where a DAG that ran to the same states no longer does, where one
is missing from the record, or where fewer than 80 % of those that need nothing from outside do.
"""

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import common

WHEELS = ["apache-airflow-core==3.3.2", "apache-airflow-providers-standard==1.21.0"]
FOLDERS = ["airflow/example_dags", "airflow/providers/standard/example_dags"]
RECORD = common.ROOT / "tests" / "fixtures" / "airflow_examples.json"
LOGICAL_DATE = "2026-01-05T00:00:00Z"
SHARE_MIN = 0.8
RUN_SECONDS_MAX = 240
"""Bounds a run that hangs; nothing is measured by it."""
LOAD = """
import json, sys
sys.path.insert(0, sys.argv[1])
from airlock_sdk import entry
try:
    entry.load(sys.argv[2], [sys.argv[3]], "examples")
    print(json.dumps({"dags": [json.loads(text)["dag_id"] for text in entry.described()["dags"]]}))
except Exception as error:
    print(json.dumps({"error": str(error).splitlines()[0]}))
"""


def examples():
    """The folder with the examples, fetched once."""
    place = common.PLACE / "airflow-examples"
    if not common.is_finished(place, WHEELS):
        shutil.rmtree(place, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(place / "wheels")]
        subprocess.run([*pip, *WHEELS], check=True)
        for wheel in (place / "wheels").glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.startswith(tuple(f"{folder}/" for folder in FOLDERS))]
                archive.extractall(place / "all", names)
        common.finish(place, WHEELS)
    return place / "all"


def is_dag_file(path):
    return path.name.startswith(("example_", "tutorial"))


def loaded(root, file):
    """The DAGs of a file, read natively: quick, and one file's error is no other's."""
    sdk = common.ROOT / "sdk-guest" / "python"
    command = [sys.executable, "-c", LOAD, str(sdk), str(root), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if lines else {"error": done.stderr.splitlines()[-1]}


def build(program, root, files):
    """One component of all files that can be loaded: Python is compiled once."""
    place = common.PLACE / "airflow-examples" / "examples"
    shutil.rmtree(place, ignore_errors=True)
    beside = [path.relative_to(root) for pattern in ("libs/*.py", "sql/*.sql") for path in root.rglob(pattern)]
    for file in [*files, *beside]:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / file, place / file)
    # The standard provider's templates are looked for beside the DAG's file.
    component = place.parent / "examples.wasm"
    subprocess.run([program, "plugins", "build", str(place), "--out", str(component)], check=True)
    return component


def run(program, component, dag_id):
    """How the DAG's run ended: its state, and those of its task instances."""
    command = [program, "dags", "test", f"{component}#{dag_id}", "--logical-date", LOGICAL_DATE, "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX, cwd=component.parent)
        ended = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"error": "it did not end"}
    except ValueError:
        return {"error": done.stderr.strip()[-400:]}
    rows = ended["task_instances"]
    tasks = sorted([row["task_id"], row["map_index"], row["state"]] for row in rows)
    failed = next((f"{row['task_id']}: {row['error']}" for row in rows if row.get("error")), "")
    return {"state": ended["state"], "tasks": tasks, "error": str(failed)[:300]}


def is_same(record, ended):
    """Where chance or the day of the week decides, the tasks and the run's state must be the same, not each task's."""
    if record["state"] != ended.get("state"):
        return False
    if record.get("by_chance"):
        return [task[:2] for task in record["tasks"]] == [task[:2] for task in ended["tasks"]]
    return record["tasks"] == ended["tasks"]


def main():
    program = os.environ.get("AIRLOCK_PROGRAM", str(common.TARGET / "debug" / "airlock"))
    record = json.loads(RECORD.read_text())
    root = examples()
    files = sorted(path.relative_to(root) for folder in FOLDERS for path in (root / folder).glob("*.py") if is_dag_file(path))
    read = {file: loaded(root, file) for file in files}
    good = [file for file, said in read.items() if "dags" in said]
    component = build(program, root, good)
    dag_ids = [dag_id for file in good for dag_id in read[file]["dags"]]
    # The first compiles the component; the others find it compiled.
    subprocess.run([program, "dags", "validate", str(component), "--json"], check=True, stdout=subprocess.DEVNULL)
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        ended = dict(zip(dag_ids, pool.map(lambda dag_id: run(program, component, dag_id), dag_ids), strict=True))
    if "--record-passing" in sys.argv:
        for dag_id, entry in record["dags"].items():
            entry["passes"] = dag_id in ended and "state" in entry and is_same(entry, ended[dag_id])
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return report(record, files, read, ended)


def report(record, files, read, ended):
    wrong, same, inside, inside_same = [], 0, 0, 0
    for file, said in read.items():
        if "error" in said and file.name not in record["not_loaded"]:
            wrong.append(f"{file.name} cannot be loaded any more: {said['error']}")
        if "error" in said:
            print(f"not loaded  {file.name}: {record['not_loaded'].get(file.name, said['error'])}")
    for dag_id, entry in sorted(record["dags"].items()):
        is_good = dag_id in ended and "state" in entry and is_same(entry, ended[dag_id])
        same += is_good
        needs = entry.get("needs")
        inside += needs is None
        inside_same += is_good and needs is None
        if is_good:
            print(f"same        {dag_id}")
        else:
            why = entry.get("why") or needs or ended.get(dag_id, {}).get("error", "")
            print(f"different   {dag_id}: {why}")
        if entry["passes"] != is_good:
            wrong.append(f"{dag_id}: recorded as {'passing' if entry['passes'] else 'not passing'}, now {ended.get(dag_id)}; Airflow: {entry}")
    wrong.extend(f"{dag_id} is not in the record" for dag_id in ended if dag_id not in record["dags"])
    share = inside_same / inside
    loaded_files = sum("dags" in said for said in read.values())
    print(f"{loaded_files} of {len(files)} files validate; {same} of {len(record['dags'])} DAGs end in Airflow's states; "
          f"{inside_same} of {inside} ({share:.0%}) of those that need nothing from outside")
    if share < SHARE_MIN:
        wrong.append(f"only {share:.0%} of the DAGs that need nothing from outside end as in Airflow; at least {SHARE_MIN:.0%} must")
    for line in wrong:
        print(f"FAILED: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

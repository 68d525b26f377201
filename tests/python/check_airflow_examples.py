"""Airflow's own example DAGs, unchanged, as WebAssembly: they are built into one component, every DAG of it is run, and its task instances
must end as they ended in Airflow itself (tests/fixtures/airflow_examples.json, made by `--record` in an environment with Airflow).

Needs the built `airlock`, and PyPI for its first run (the wheels of apache-airflow-core and its standard provider, 8 MB, of which only the
examples are read). Everything it makes lies under target/python. Exit 1 where a DAG that is listed as the same ends otherwise, or where one
that is listed as different ends the same: then the list is out of date. `--each` builds every file by itself, as people do.
"""

import argparse
import collections
import concurrent.futures
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import common
from check_airflow_client import plain, program

PACKAGES = ["apache-airflow-core==3.3.2", "apache-airflow-providers-standard==1.21.0"]
FOLDERS = ["airflow/example_dags", "airflow/providers/standard/example_dags"]
FIXTURE = common.ROOT / "tests/fixtures/airflow_examples.json"
DATE = "2026-01-05T00:00:00+00:00"
RUN_SECONDS_MAX = 120
RECORD_SECONDS_MAX = 60


def examples():
    """The example files by name, with the folders of templates beside them."""
    place = common.overlay(sys.executable, "airflow-examples", PACKAGES)
    return {path.name: path for folder in FOLDERS for path in sorted((place / folder).glob("*.py")) if path.name != "__init__.py"}


def build(binary, source, out):
    """Makes a component; yields what was said where it cannot be made."""
    done = subprocess.run([binary, "plugins", "build", source, "--output", out, "--quiet"], env=plain(), capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip()


def run(binary, component, dag_id):
    """The states that a run of a DAG ends in, by task and map index."""
    command = [binary, "dags", "test", f"{component}#{dag_id}", "--json", "--quiet", "--logical-date", DATE]
    with tempfile.TemporaryDirectory(dir=component.parent) as place:
        try:
            done = subprocess.run(command, cwd=place, env=plain(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=RUN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return {"error": f"longer than {RUN_SECONDS_MAX} s"}
    try:
        told = json.loads(done.stdout)
    except ValueError:
        return {"error": done.stderr.strip()[-300:]}
    tasks = {f"{one['task_id']}[{one['map_index']}]": one["state"] for one in told["task_instances"]}
    return {"state": told["state"], "tasks": tasks}


def is_same(theirs, ours, by_the_clock=False):
    """A refusal to make a run is a refusal, whatever its words. Which branch a DAG takes by the hour or the weekday is another one at
    another time: then the same tasks must end in the same number of each state."""
    if "error" in theirs or "error" in ours:
        return "error" in theirs and "error" in ours and "longer than" not in theirs["error"] + ours["error"]
    if by_the_clock:
        theirs, ours = ({**one, "tasks": (sorted(one["tasks"]), sorted(one["tasks"].values()))} for one in (theirs, ours))
    return theirs["state"] == ours["state"] and theirs["tasks"] == ours["tasks"]


def difference(theirs, ours):
    """In a few words."""
    if "error" in ours or "error" in theirs:
        return f"Airflow: {theirs.get('error', theirs.get('state'))}; Airlock: {ours.get('error', ours.get('state'))}"
    names = sorted(set(theirs["tasks"]) | set(ours["tasks"]))
    pairs = [(name, theirs["tasks"].get(name), ours["tasks"].get(name)) for name in names]
    return ", ".join(f"{name}: {one} there, {other} here" for name, one, other in pairs if one != other) or "the runs' states"


def built(binary, place, files, recorded, each):
    """Components by the DAG ids that are looked for in them, and what cannot be built."""
    wanted = collections.defaultdict(list)
    for dag_id, told in recorded["dags"].items():
        wanted[told["file"]].append(dag_id)
    buildable = {name: path for name, path in files.items() if name not in recorded["apart"]}
    components, refused = {}, {}
    if each:
        for name, path in buildable.items():
            component = place / f"{path.stem}.wasm"
            if why := build(binary, path, component):
                refused[name] = why
            components.update({dag_id: component for dag_id in wanted[name]})
        return components, refused
    source = place / "examples"
    source.mkdir()
    for path in buildable.values():
        shutil.copy(path, source)
        if (sql := path.parent / "sql").is_dir():
            shutil.copytree(sql, source / "sql", dirs_exist_ok=True)
    if why := build(binary, source, place / "examples.wasm"):
        refused["all of them"] = why
    return {dag_id: place / "examples.wasm" for name in buildable for dag_id in wanted[name]}, refused


def check(each):
    binary, files, recorded = program().resolve(), examples(), json.loads(FIXTURE.read_text())
    with tempfile.TemporaryDirectory(prefix="airlock-examples-") as place:
        components, refused = built(binary, Path(place), files, recorded, each)
        for name, why in refused.items():
            print(f"    {name} was not built: {why}")
        dags = {dag_id: component for dag_id, component in components.items() if component.exists()}
        for component in sorted(set(dags.values())):
            # Compiled once, and not by all that wait for it.
            subprocess.run([binary, "dags", "validate", component, "--quiet"], env=plain(), check=True, stdout=subprocess.DEVNULL)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            ours = dict(zip(dags, pool.map(lambda one: run(binary, dags[one], one), dags)))
    wrong, count = [], 0
    for dag_id, told in ours.items():
        same = is_same(recorded["dags"][dag_id], told, dag_id in recorded["by_the_clock"])
        count += same
        if same != (dag_id not in recorded["different"]):
            wrong.append(f"{dag_id}: {'the same as in Airflow by now' if same else difference(recorded['dags'][dag_id], told)}")
    print(f"    {len(files) - len(recorded['apart'])} of {len(files)} files build; {count} of {len(recorded['dags'])} DAGs end as in Airflow, "
          f"{len(recorded['different'])} differ for a reason that is listed, {len(recorded['apart'])} files are apart")
    if wrong or refused:
        sys.exit("\n".join(wrong) or 1)


def record():
    """Runs where Airflow is installed and its database is migrated; prints what the fixture's `dags` holds."""
    import signal

    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    def late(*_):
        raise TimeoutError(f"longer than {RECORD_SECONDS_MAX} s")

    signal.signal(signal.SIGALRM, late)
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=os.environ["AIRFLOW__CORE__DAGS_FOLDER"], bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)
    dags = {}
    for dag_id, dag in sorted(bag.dags.items()):
        signal.alarm(RECORD_SECONDS_MAX)
        try:
            told = dag.test(logical_date=datetime.datetime.fromisoformat(DATE))
            tasks = {f"{one.task_id}[{one.map_index}]": one.state and str(one.state) for one in told.get_task_instances()}
            dags[dag_id] = {"file": Path(dag.fileloc).name, "state": str(told.state), "tasks": tasks}
        except BaseException as error:
            dags[dag_id] = {"file": Path(dag.fileloc).name, "error": f"{type(error).__name__}: {error}"[:200]}
        finally:
            signal.alarm(0)
    print(json.dumps(dags, indent=1, sort_keys=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", action="store_true", help="a component for each file")
    parser.add_argument("--record", action="store_true", help="ask Airflow instead")
    asked = parser.parse_args()
    record() if asked.record else check(asked.each)

"""What an unmodified MLflow client does against Airlock, a phase a call: `python mlflow_life.py PHASE ...`. Run by check_mlflow.py."""

import hashlib
import json
import logging
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import numpy
import pandas
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

CLIENT = MlflowClient()
# What it says about tools that are not installed is no matter here; what goes wrong is an exception.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)


def refused(code, call, *arguments, **named):
    """The call must be refused with this code; yields the words."""
    try:
        call(*arguments, **named)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, str(error))
        return str(error)
    raise AssertionError(f"{call} was not refused with {code}")


def experiments():
    default = CLIENT.get_experiment("0")
    assert (default.name, default.lifecycle_stage) == ("Default", "active")
    churn = mlflow.set_experiment("churn").experiment_id
    assert mlflow.set_experiment("churn").experiment_id == churn
    assert CLIENT.get_experiment_by_name("nowhere") is None
    refused("RESOURCE_ALREADY_EXISTS", CLIENT.create_experiment, "churn")
    refused("RESOURCE_DOES_NOT_EXIST", CLIENT.get_experiment, "424242")
    other = CLIENT.create_experiment("other", tags={"team": "growth"})
    CLIENT.set_experiment_tag(other, "stage", "draft")
    assert CLIENT.get_experiment(other).tags == {"team": "growth", "stage": "draft"}
    CLIENT.rename_experiment(other, "renamed")
    found = [one.name for one in CLIENT.search_experiments(filter_string="tags.team = 'growth'")]
    assert found == ["renamed"], found
    CLIENT.delete_experiment(other)
    assert CLIENT.get_experiment(other).lifecycle_stage == "deleted"
    deleted = [one.name for one in CLIENT.search_experiments(view_type=ViewType.DELETED_ONLY)]
    assert deleted == ["renamed"], deleted
    CLIENT.restore_experiment(other)
    assert CLIENT.get_experiment(other).lifecycle_stage == "active"
    return churn


def runs(churn):
    with mlflow.start_run(run_name="first", tags={"a b": "one x two"}) as run:
        mlflow.log_param("kind", "a")
        mlflow.log_params({"depth": 6, "empty": "", "long": "x" * 6000})
        mlflow.log_metric("auc", 0.1 + 0.2, step=0)
        for step in range(1, 5):
            mlflow.log_metric("loss", 1.0 / step, step=step)
        mlflow.log_metrics({"nan": math.nan, "up": math.inf, "down": -math.inf, "tiny": 5e-324})
        mlflow.set_tags({"kept": "yes", "gone": "soon"})
        mlflow.delete_tag("gone")
        refused("INVALID_PARAMETER_VALUE", mlflow.log_param, "kind", "b")
        mlflow.log_text("hello ä", "notes/deep/a b+ü.txt")
        mlflow.log_dict({"a": 1}, "config.json")
        frame = pandas.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
        mlflow.log_input(mlflow.data.from_pandas(frame, name="rows", targets="y"), context="training")
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("auc", 0.9)
    got = CLIENT.get_run(run.info.run_id)
    assert got.info.status == "FINISHED" and got.info.end_time >= got.info.start_time
    assert got.info.run_name == "first" and got.info.experiment_id == churn
    assert got.data.params == {"kind": "a", "depth": "6", "empty": "", "long": "x" * 6000}
    metrics = got.data.metrics
    assert metrics["auc"] == 0.1 + 0.2 and metrics["loss"] == 0.25 and metrics["tiny"] == 5e-324
    assert math.isnan(metrics["nan"]) and metrics["up"] == math.inf and metrics["down"] == -math.inf
    assert got.data.tags["kept"] == "yes" and "gone" not in got.data.tags and got.data.tags["a b"] == "one x two"
    assert got.inputs.dataset_inputs[0].dataset.name == "rows"
    assert got.inputs.dataset_inputs[0].tags[0].value == "training"
    history = [(point.step, point.value) for point in CLIENT.get_metric_history(run.info.run_id, "loss")]
    assert history == [(step, 1.0 / step) for step in range(1, 5)], history
    assert CLIENT.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id
    try:
        with mlflow.start_run(run_name="breaks") as broken:
            raise RuntimeError("planned")
    except RuntimeError:
        assert CLIENT.get_run(broken.info.run_id).info.status == "FAILED"
    refused("RESOURCE_DOES_NOT_EXIST", CLIENT.get_run, "0" * 32)
    return run.info.run_id


def artifacts(run_id):
    listed = [(one.path, one.is_dir, one.file_size) for one in CLIENT.list_artifacts(run_id)]
    assert listed == [("config.json", False, 12), ("notes", True, None)] or listed[0][0] == "config.json", listed
    assert [one.path for one in CLIENT.list_artifacts(run_id, "notes/deep")] == ["notes/deep/a b+ü.txt"]
    with tempfile.TemporaryDirectory() as place:
        path = CLIENT.download_artifacts(run_id, "notes", place)
        assert (Path(path) / "deep" / "a b+ü.txt").read_text() == "hello ä"
        big = Path(place) / "big.bin"
        big.write_bytes(os.urandom(20 << 20))
        CLIENT.log_artifact(run_id, str(big), "blobs")
        back = Path(CLIENT.download_artifacts(run_id, "blobs/big.bin", str(Path(place) / "notes")))
        assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest()
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/deep/a b+ü.txt") == "hello ä"
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/config.json") == {"a": 1}


def searches():
    mlflow.set_experiment("grid")
    for number in range(6):
        with mlflow.start_run(run_name=f"run-{number}", tags={"a b": f"v{number}x"}):
            mlflow.log_param("family", "even" if number % 2 == 0 else "odd")
            mlflow.log_metric("auc", number / 10)
    names = lambda **asked: [run.info.run_name for run in mlflow.search_runs(output_format="list", **asked)]
    where = "metrics.auc > 0.05 AND params.family = 'even' AND tags.\"a b\" LIKE '%x%' AND attributes.status = 'FINISHED'"
    assert names(filter_string=where, order_by=["metrics.auc DESC"]) == ["run-4", "run-2"]
    assert names(filter_string="run_name IN ('run-1', 'run-3') AND params.family != 'even'", order_by=["attributes.run_name"]) == ["run-1", "run-3"]
    assert names(filter_string="tags.`a b` ILIKE 'V5%'") == ["run-5"]
    assert names(order_by=["params.family", "metrics.auc DESC"]) == ["run-4", "run-2", "run-0", "run-5", "run-3", "run-1"]
    grid = CLIENT.get_experiment_by_name("grid").experiment_id
    pages, token = [], None
    while True:
        page = CLIENT.search_runs([grid], order_by=["metrics.auc ASC"], max_results=4, page_token=token)
        pages.append([run.info.run_name for run in page])
        token = page.token
        if not token:
            break
    assert pages == [["run-0", "run-1", "run-2", "run-3"], ["run-4", "run-5"]], pages
    words = refused("INVALID_PARAMETER_VALUE", CLIENT.search_runs, [grid], "metrics.auc >> 1")
    assert "metrics.auc >> 1" in words or ">>" in words, words
    first = CLIENT.search_runs([grid], "run_name = 'run-0'")[0].info.run_id
    CLIENT.delete_run(first)
    assert "run-0" not in names()
    assert [run.info.run_id for run in CLIENT.search_runs([grid], run_view_type=ViewType.DELETED_ONLY)] == [first]
    CLIENT.restore_run(first)
    assert "run-0" in names()
    assert len(mlflow.search_runs(experiment_names=["grid"])) == 6


def data():
    from sklearn.datasets import make_classification

    return make_classification(n_samples=300, n_features=6, random_state=7)


def models():
    from sklearn.linear_model import LogisticRegression

    mlflow.set_experiment("models")
    rows, labels = data()
    versions = []
    for strength in (1.0, 0.01):
        model = LogisticRegression(C=strength).fit(rows, labels)
        with mlflow.start_run(run_name=f"C={strength}"):
            logged = mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])
        versions.append(mlflow.register_model(logged.model_uri, "m", tags={"c": str(strength)}))
    assert [version.version for version in versions] in ([1, 2], ["1", "2"]), versions
    assert CLIENT.get_model_version("m", "2").status == "READY"
    refused("RESOURCE_ALREADY_EXISTS", CLIENT.create_registered_model, "m")
    CLIENT.set_registered_model_alias("m", "champion", "2")
    assert str(CLIENT.get_model_version_by_alias("m", "champion").version) == "2"
    loaded = mlflow.sklearn.load_model("models:/m@champion")
    assert numpy.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))
    generic = mlflow.pyfunc.load_model("models:/m/1")
    assert len(generic.predict(rows)) == 300
    CLIENT.set_registered_model_alias("m", "champion", "1")
    assert mlflow.sklearn.load_model("models:/m@champion").C == 1.0
    CLIENT.set_registered_model_alias("m", "challenger", "2")
    CLIENT.delete_registered_model_alias("m", "challenger")
    refused("INVALID_PARAMETER_VALUE", CLIENT.get_model_version_by_alias, "m", "challenger")
    registry()


def registry():
    CLIENT.transition_model_version_stage("m", "1", "Production")
    CLIENT.transition_model_version_stage("m", "2", "Production", archive_existing_versions=True)
    stages = {str(one.version): one.current_stage for one in CLIENT.search_model_versions("name = 'm'")}
    assert stages == {"1": "Archived", "2": "Production"}, stages
    latest = CLIENT.get_latest_versions("m", stages=["Production"])
    assert [str(one.version) for one in latest] == ["2"]
    assert mlflow.sklearn.load_model("models:/m/Production").C == 0.01
    CLIENT.update_model_version("m", "2", description="the second")
    CLIENT.set_model_version_tag("m", "2", "checked", "yes")
    CLIENT.delete_model_version_tag("m", "2", "c")
    second = CLIENT.get_model_version("m", "2")
    assert second.description == "the second" and second.tags == {"checked": "yes"}, second
    CLIENT.update_registered_model("m", description="decides")
    CLIENT.set_registered_model_tag("m", "team", "growth")
    assert [one.name for one in CLIENT.search_registered_models("name LIKE 'm%'")] == ["m"]
    assert CLIENT.get_registered_model("m").tags == {"team": "growth"}
    assert CLIENT.get_model_version_download_uri("m", "2")
    CLIENT.create_registered_model("short-lived", description="goes")
    CLIENT.rename_registered_model("short-lived", "renamed")
    CLIENT.delete_registered_model("renamed")
    refused("RESOURCE_DOES_NOT_EXIST", CLIENT.get_registered_model, "renamed")
    refused("RESOURCE_DOES_NOT_EXIST", CLIENT.get_model_version, "m", "9")


def autologs():
    import xgboost
    from sklearn.ensemble import RandomForestClassifier

    rows, labels = data()
    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog()
    with mlflow.start_run() as forest:
        RandomForestClassifier(n_estimators=5, random_state=1).fit(rows, labels)
    mlflow.sklearn.autolog(disable=True)
    got = CLIENT.get_run(forest.info.run_id)
    assert got.data.params["n_estimators"] == "5" and got.data.metrics["training_score"] > 0.8, got.data
    assert got.outputs.model_outputs, got.outputs
    assert got.inputs.dataset_inputs, got.inputs
    mlflow.xgboost.autolog()
    matrix = xgboost.DMatrix(rows, label=labels)
    with mlflow.start_run() as boosted:
        xgboost.train({"objective": "binary:logistic", "max_depth": 2}, matrix, num_boost_round=8, evals=[(matrix, "train")], verbose_eval=False)
    mlflow.xgboost.autolog(disable=True)
    history = CLIENT.get_metric_history(boosted.info.run_id, "train-logloss")
    losses = [point.value for point in sorted(history, key=lambda point: point.step)]
    assert len(losses) == 8 and losses == sorted(losses, reverse=True), losses
    made = CLIENT.get_run(boosted.info.run_id).outputs.model_outputs[0].model_id
    again = mlflow.xgboost.load_model(f"models:/{made}")
    assert numpy.allclose(again.predict(matrix), again.predict(matrix)) and again.num_boosted_rounds() == 8
    found = mlflow.search_logged_models(filter_string="name = 'model'", output_format="list")
    assert {model.source_run_id for model in found} >= {boosted.info.run_id, forest.info.run_id}, found


def speed():
    """Points a second through batches of 1,000, each durable before it is answered."""
    mlflow.set_experiment("speed")
    batches, size = 10, 1000
    with mlflow.start_run() as run:
        now = int(time.time() * 1000)
        made = [[Metric(f"m{at % 10}", at / 7, now, batch * size + at) for at in range(size)] for batch in range(batches)]
        begun = time.perf_counter()
        for metrics in made:
            CLIENT.log_batch(run.info.run_id, metrics=metrics)
        took = time.perf_counter() - begun
    assert len(CLIENT.get_metric_history(run.info.run_id, "m3")) == batches * size // 10
    print(f"{batches * size / took:,.0f} metrics a second in batches of {size:,}")


def worker(name):
    """One of two clients at once, in an experiment that both make."""
    # The client that loses the race to make it gets the experiment, and does not make it the active one.
    experiment = mlflow.set_experiment("crowd")
    with mlflow.start_run(run_name=name, experiment_id=experiment.experiment_id) as run:
        for step in range(30):
            CLIENT.log_batch(run.info.run_id, metrics=[Metric("auc", step / 30, step, step)], params=[Param(f"p{step}", name)], tags=[RunTag("t", str(step))])
    got = CLIENT.get_run(run.info.run_id)
    assert got.data.params == {f"p{step}": name for step in range(30)} and got.data.tags["t"] == "29"
    assert len(CLIENT.get_metric_history(run.info.run_id, "auc")) == 30


def everything():
    """All that the server knows, as plain values."""
    known = {}
    for experiment in CLIENT.search_experiments(view_type=ViewType.ALL):
        known[experiment.experiment_id] = [experiment.name, experiment.lifecycle_stage, sorted(experiment.tags.items())]
        for run in CLIENT.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL):
            info = {key: value for key, value in run.info}
            metrics = {key: [(point.step, point.timestamp, repr(point.value)) for point in CLIENT.get_metric_history(run.info.run_id, key)] for key in run.data.metrics}
            known[run.info.run_id] = [info, run.data.params, run.data.tags, metrics, files(run.info.run_id, None)]
    for model in CLIENT.search_registered_models():
        versions = [{key: str(value) for key, value in version} for version in CLIENT.search_model_versions(f"name = '{model.name}'")]
        known[f"model {model.name}"] = [model.description, model.tags, {key: str(value) for key, value in model.aliases.items()}, versions]
    return json.loads(json.dumps(known, sort_keys=True, default=str))


def files(run_id, folder):
    listed = []
    for one in CLIENT.list_artifacts(run_id, folder):
        listed += files(run_id, one.path) if one.is_dir else [[one.path, one.file_size]]
    return listed


def life(dump):
    churn = experiments()
    run_id = runs(churn)
    artifacts(run_id)
    searches()
    models()
    autologs()
    speed()
    Path(dump).write_text(json.dumps(everything()))


def again(dump):
    """After a kill of the server: everything is there, and goes on."""
    before, after = json.loads(Path(dump).read_text()), everything()
    crowd = CLIENT.get_experiment_by_name("crowd").experiment_id
    for key, value in before.items():
        assert after[key] == value, (key, value, after[key])
    names = sorted(run.info.run_name for run in CLIENT.search_runs([crowd]))
    assert names == ["one", "two"], names
    assert mlflow.sklearn.load_model("models:/m@champion").C == 1.0
    mlflow.set_experiment("churn")
    with mlflow.start_run():
        mlflow.log_metric("auc", 1.0)


def denied(code):
    refused(code, CLIENT.create_experiment, "never")


PHASES = {"life": life, "again": again, "worker": worker, "denied": denied}

if __name__ == "__main__":
    PHASES[sys.argv[1]](*sys.argv[2:])

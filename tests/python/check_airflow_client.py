"""An unmodified client of Airflow (`apache-airflow-client` from PyPI) must find in `airlock serve` what it finds in Airflow: DAGs listed
and paused, runs triggered, followed, cleared and marked, XComs and logs read, backfills, assets, pools, variables and connections.

Needs cargo, and PyPI for its first run (about 5 MB of wheels). Everything it makes lies under target/python. Exit 1 where the client
gets another answer than it should.
"""

import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import common

PACKAGES = [
    "apache-airflow-client==3.3.2", "annotated-types==0.8.0", "prometheus_client==0.26.0", "pydantic==2.14.4", "pydantic_core==2.50.5",
    "python-dateutil==4.0.0", "typing-inspection==0.4.5", "typing_extensions==4.16.0", "tzdata==2026.6", "urllib3==2.8.0",
]
HERE = Path(__file__).resolve().parent
PATIENCE_SECONDS = 90

DAG = {
    "dag_id": "pipeline", "schedule": "0 2 * * *", "start_date": "2026-01-01", "end_date": "2026-06-01", "is_paused_upon_creation": True, "tags": ["ml", "churn"],
    "params": {"rate": {"type": "number", "default": 0.5}}, "description": "what the client drives",
    "tasks": [
        {"task_id": "load", "operator": "probe", "owner": "ana", "config": {"value": {"rows": 3, "name": "\u00e4"}}},
        {"task_id": "flaky", "operator": "probe", "depends_on": ["load"], "retries": 2, "retry_delay": "0s", "config": {"succeed_on_try": 2}},
        {"task_id": "fan", "operator": "probe", "depends_on": ["load"], "expand": {"value": [1, 2, 3]}, "outlets": ["file://out"]},
        {"task_id": "broken", "operator": "probe", "depends_on": ["flaky"], "config": {"result": "fail"}},
    ],
}
QUICK = {"dag_id": "quick", "start_date": "2026-01-01", "tasks": [{"task_id": "one", "operator": "probe", "config": {"value": 1}}]}
READER = {"dag_id": "reader", "schedule": {"assets": ["file://out"]}, "start_date": "2026-01-01", "is_paused_upon_creation": True,
          "tasks": [{"task_id": "one", "operator": "probe"}]}


def program():
    """The path of the built `airlock`; AIRLOCK_PROGRAM names one that is there already."""
    if path := os.environ.get("AIRLOCK_PROGRAM"):
        return Path(path)
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--tests"], cwd=common.ROOT, check=True)
    return common.TARGET / "debug" / "airlock"


def plain():
    """The environment without settings of Airlock's."""
    return {key: value for key, value in os.environ.items() if not key.startswith("AIRLOCK_")}


def is_ready(url):
    try:
        return urllib.request.urlopen(f"{url}/readyz", timeout=5).status == 200
    except OSError:
        return False


class Service:
    """`airlock serve` on a data folder of its own."""

    def __init__(self, binary, place):
        self.binary, self.place, self.data, self.dags = binary, place, place / "data", place / "dags"
        self.dags.mkdir()

    def command(self, *arguments):
        return [self.binary, *arguments, "--data", self.data]

    def start(self):
        announced = self.data / "api.url"
        announced.unlink(missing_ok=True)
        arguments = self.command("serve", "--quiet", "--dags", self.dags, "--listen", "127.0.0.1:0")
        self.process = subprocess.Popen(arguments, cwd=self.place, env=plain(), stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            # It is announced before it answers.
            if announced.exists() and is_ready(url := announced.read_text().strip()):
                self.url = url
                return
            time.sleep(0.02)
        raise SystemExit("airlock serve never said where it listens")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_SECONDS) == 0, "airlock serve did not stop well"

    def run(self, *arguments):
        done = subprocess.run(self.command(*arguments), cwd=self.place, env=plain(), check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()


def until(what, look):
    """Asks until the answer is a true one."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


def refused(status, ask):
    """The problem that the client must be told, with this status."""
    from airflow_client.client.exceptions import ApiException
    try:
        ask()
    except ApiException as error:
        assert error.status == status, f"{error.status} instead of {status}: {error.body}"
        problem = json.loads(error.body)
        assert problem["status"] == status and isinstance(problem["detail"], str), problem
        return problem
    raise AssertionError(f"not refused with {status}")


def drive(url, token):
    import airflow_client.client as airflow
    configuration = airflow.Configuration(host=url, access_token=token)
    with airflow.ApiClient(configuration) as client:
        # By itself it sends no token where Airflow asks for none: version and health.
        client.set_default_header("Authorization", f"Bearer {token}")
        for step in (look_around, dags, runs, task_instances, changes, xcoms, backfills, assets, settings, trail, deletions):
            step(airflow, client)
            print(f"    {step.__name__}")
        metrics(url, token)
        print("    metrics")


def look_around(airflow, client):
    assert airflow.VersionApi(client).get_version().version
    health = airflow.MonitorApi(client).get_health()
    assert (health.scheduler.status, health.metadatabase.status) == ("healthy", "healthy"), health
    assert airflow.ProviderApi(client).get_providers().total_entries == 0
    assert airflow.PluginApi(client).get_plugins().plugins == []
    assert airflow.DagWarningApi(client).list_dag_warnings().dag_warnings == []


def dags(airflow, client):
    api = airflow.DAGApi(client)
    listed = until("three DAGs are there", lambda: (found := api.get_dags()).total_entries == 3 and found)
    assert [dag.dag_id for dag in listed.dags] == ["pipeline", "quick", "reader"]
    pipeline = listed.dags[0]
    assert (pipeline.is_paused, pipeline.timetable_summary, pipeline.owners) == (True, "0 2 * * *", ["airflow", "ana"])
    assert sorted(tag.name for tag in pipeline.tags) == ["churn", "ml"] and pipeline.is_backfillable
    assert api.get_dags(tags=["ml"]).total_entries == 1 and api.get_dags(tags=["ml", "x"], tags_match_mode="all").total_entries == 0
    assert [dag.dag_id for dag in api.get_dags(order_by=["-dag_id"], limit=1, offset=1).dags] == ["quick"]
    assert api.get_dags(dag_id_pattern="PIPE").total_entries == 1 and api.get_dags(paused=False).total_entries == 1
    assert api.patch_dag("quick", airflow.DAGPatchBody(is_paused=True)).is_paused
    assert not api.patch_dag("quick", airflow.DAGPatchBody(is_paused=False)).is_paused
    details = api.get_dag_details("pipeline")
    assert details.params["rate"]["value"] == 0.5 and details.latest_dag_version.version_number == 1 and details.max_active_runs == 16
    assert api.get_dag_tags().tags == ["churn", "ml"]
    tasks = airflow.TaskApi(client)
    found = {task.task_id: task for task in tasks.get_tasks("pipeline").tasks}
    assert sorted(found) == ["broken", "fan", "flaky", "load"] and found["fan"].is_mapped and found["flaky"].retries == 2
    assert sorted(found["load"].downstream_task_ids) == ["fan", "flaky"] and tasks.get_task("pipeline", "load").owner == "ana"
    versions = airflow.DagVersionApi(client).get_dag_versions("pipeline")
    assert versions.total_entries == 1 and airflow.DagVersionApi(client).get_dag_version("pipeline", 1).id == versions.dag_versions[0].id
    assert json.loads(airflow.DagSourceApi(client).get_dag_source("pipeline").content) == DAG
    refused(404, lambda: api.get_dag("nowhere"))
    hint = refused(400, lambda: api.get_dags(order_by=["colour"]))["hint"]
    assert "dag_id" in hint
    # What Airflow filters by and Airlock does not is told, and not passed over.
    refused(400, lambda: api.get_dags(is_favorite=True))


def ended(api, dag_id, run_id):
    return until("the run ends", lambda: (run := api.get_dag_run(dag_id, run_id)).state in ("success", "failed") and run)


def runs(airflow, client):
    api = airflow.DagRunApi(client)
    date = datetime.datetime(2026, 1, 5, 2, tzinfo=datetime.timezone.utc)
    body = airflow.TriggerDAGRunPostBody(dag_run_id="first", logical_date=date, conf={"rate": 0.25}, note="by the client")
    # A paused DAG's runs wait. No run is due: the last date has passed.
    airflow.DAGApi(client).patch_dag("pipeline", airflow.DAGPatchBody(is_paused=False))
    made = api.trigger_dag_run("pipeline", body)
    assert (made.dag_run_id, made.run_type, made.triggered_by, made.triggering_user_name) == ("first", "manual", "rest_api", "driver")
    assert made.conf == {"rate": 0.25} and made.note == "by the client" and made.logical_date == date
    assert made.dag_versions[0].version_number == 1
    run = ended(api, "pipeline", "first")
    assert run.state == "failed" and run.duration >= 0 and run.end_date >= run.start_date
    second = api.trigger_dag_run("quick", airflow.TriggerDAGRunPostBody(logical_date=None))
    assert ended(api, "quick", second.dag_run_id).state == "success"
    assert [one.dag_run_id for one in api.get_dag_runs("~", order_by=["dag_id"]).dag_runs] == ["first", second.dag_run_id]
    assert api.get_dag_runs("pipeline", state=["success"]).total_entries == 0
    assert api.get_dag_runs("pipeline", state=["failed"], run_id_pattern="FIR").total_entries == 1
    assert api.get_dag_runs("pipeline", logical_date_gte=date, logical_date_lte=date).total_entries == 1
    assert api.get_dag_runs("pipeline", logical_date_gt=date).total_entries == 0
    batch = api.get_list_dag_runs_batch("~", airflow.DAGRunsBatchBody(dag_ids=["quick"], page_limit=5))
    assert batch.total_entries == 1
    stats = airflow.DagStatsApi(client).get_dag_stats(dag_ids=["pipeline"]).dags[0].stats
    assert {one.state.value: one.count for one in stats} == {"queued": 0, "running": 0, "success": 0, "failed": 1}
    refused(409, lambda: api.trigger_dag_run("pipeline", body))
    wrong = refused(400, lambda: api.trigger_dag_run("pipeline", airflow.TriggerDAGRunPostBody(logical_date=None, conf={"rate": "x"})))
    assert "rate" in wrong["detail"]
    refused(404, lambda: api.trigger_dag_run("nowhere", airflow.TriggerDAGRunPostBody(logical_date=None)))


def task_instances(airflow, client):
    api = airflow.TaskInstanceApi(client)
    listed = api.get_task_instances("pipeline", "first").task_instances
    states = {(one.task_id, one.map_index): one.state for one in listed}
    assert states == {("load", -1): "success", ("flaky", -1): "success", ("fan", 0): "success", ("fan", 1): "success",
                      ("fan", 2): "success", ("broken", -1): "failed"}, states
    flaky = api.get_task_instance("pipeline", "first", "flaky")
    assert (flaky.try_number, flaky.max_tries, flaky.operator, flaky.pool) == (2, 2, "probe", "default_pool") and flaky.duration >= 0
    assert flaky.dag_version.version_number == 1 and flaky.id == api.get_task_instance("pipeline", "first", "flaky").id
    assert api.get_mapped_task_instance("pipeline", "first", "fan", 2).map_index == 2
    assert api.get_mapped_task_instances("pipeline", "first", "fan").total_entries == 3
    refused(404, lambda: api.get_task_instance("pipeline", "first", "fan"))
    assert api.get_task_instances("pipeline", "first", state=["failed"]).total_entries == 1
    assert api.get_task_instances("~", "~", task_id="one").total_entries == 1
    batch = api.get_task_instances_batch("~", "~", airflow.TaskInstancesBatchBody(dag_ids=["pipeline"], state=["failed"]))
    assert [one.task_id for one in batch.task_instances] == ["broken"]
    tries = api.get_task_instance_tries("pipeline", "first", "flaky").task_instances
    assert [(one.try_number, one.state) for one in tries] == [(1, "failed"), (2, "success")]
    assert api.get_task_instance_try_details("pipeline", "first", "flaky", 1).state == "failed"
    log = api.get_log("pipeline", "first", "broken", 1)
    lines = log.content.actual_instance
    assert isinstance(lines, list) and log.continuation_token is None, log
    assert api.get_task_instance_dependencies("pipeline", "first", "broken").dependencies


def raw(call, *arguments):
    """The client's own model of this answer cannot be read, also from Airflow: each task instance fits two of its types."""
    return json.loads(call(*arguments).data)


def changes(airflow, client):
    instances, runs = airflow.TaskInstanceApi(client), airflow.DagRunApi(client)
    body = airflow.ClearTaskInstancesBody(dag_run_id="first", task_ids=[airflow.ClearTaskInstancesBodyTaskIdsInner("broken")], dry_run=True)
    planned = raw(instances.post_clear_task_instances_without_preload_content, "pipeline", body)
    assert [one["task_id"] for one in planned["task_instances"]] == ["broken"] and planned["total_entries"] == 1
    assert runs.get_dag_run("pipeline", "first").state == "failed"
    body.dry_run = False
    raw(instances.post_clear_task_instances_without_preload_content, "pipeline", body)
    until("the task runs again", lambda: instances.get_task_instance("pipeline", "first", "broken").try_number == 2)
    ended(runs, "pipeline", "first")
    body = airflow.PatchTaskInstanceBody(new_state="success")
    assert instances.patch_task_instance_dry_run("pipeline", "first", "broken", body).task_instances[0].state == "failed"
    marked = instances.patch_task_instance("pipeline", "first", "broken", body)
    assert [(one.task_id, one.state) for one in marked.task_instances] == [("broken", "success")]
    assert runs.patch_dag_run("pipeline", "first", airflow.DAGRunPatchBody(state="failed")).state == "failed"
    cleared = runs.clear_dag_run("pipeline", "first", airflow.DAGRunClearBody(dry_run=False)).actual_instance
    assert cleared.dag_run_id == "first"
    ended(runs, "pipeline", "first")
    refused(400, lambda: instances.patch_task_instance("pipeline", "first", "load", airflow.PatchTaskInstanceBody(new_state="running")))
    refused(404, lambda: instances.patch_task_instance("pipeline", "none", "load", body))


def xcoms(airflow, client):
    api = airflow.XComApi(client)
    entries = api.get_xcom_entries("pipeline", "first", "load").xcom_entries
    assert [one.key for one in entries] == ["return_value"]
    value = api.get_xcom_entry("pipeline", "load", "first", "return_value").actual_instance.value
    assert value == {"rows": 3, "name": "\u00e4"}, value
    text = api.get_xcom_entry("pipeline", "load", "first", "return_value", stringify=True).actual_instance.value
    assert json.loads(text) == value
    assert api.get_xcom_entry("pipeline", "fan", "first", "return_value", map_index=1).actual_instance.value == 2
    made = api.create_xcom_entry("pipeline", "load", "first", airflow.XComCreateBody(key="mine", value=[1, None]))
    assert made.value == [1, None]
    refused(409, lambda: api.create_xcom_entry("pipeline", "load", "first", airflow.XComCreateBody(key="mine", value=2)))
    assert api.update_xcom_entry("pipeline", "load", "first", "mine", airflow.XComUpdateBody(value={"a": 1})).value == {"a": 1}
    api.delete_xcom_entry("pipeline", "load", "first", "mine")
    refused(404, lambda: api.get_xcom_entry("pipeline", "load", "first", "mine"))


def backfills(airflow, client):
    api = airflow.BackfillApi(client)
    first, last = (datetime.datetime(2026, 2, day, 2, tzinfo=datetime.timezone.utc) for day in (1, 3))
    body = airflow.BackfillPostBody(dag_id="pipeline", from_date=first, to_date=last, run_backwards=False, max_active_runs=1)
    planned = api.create_backfill_dry_run(body).backfills
    assert [one.logical_date.day for one in planned] == [1, 2, 3]
    made = api.create_backfill(body)
    assert (made.dag_id, made.max_active_runs, made.is_paused) == ("pipeline", 1, False)
    assert api.get_backfill(made.id).id == made.id and api.list_backfills("pipeline").total_entries == 1
    api.cancel_backfill(made.id)
    # Its running run goes on.
    until("the backfill ends", lambda: api.get_backfill(made.id).completed_at)
    refused(409, lambda: api.cancel_backfill(made.id))
    refused(404, lambda: api.get_backfill(made.id + 1))


def assets(airflow, client):
    api = airflow.AssetApi(client)
    asset = api.get_assets().assets[0]
    assert asset.uri == "file://out" and [one.dag_id for one in asset.scheduled_dags] == ["reader"]
    assert [(one.dag_id, one.task_id) for one in asset.producing_tasks] == [("pipeline", "fan")]
    events = api.get_asset_events(asset_id=asset.id, source_run_id="first").asset_events
    assert {one.source_map_index for one in events} == {0, 1, 2}
    made = api.create_asset_event(airflow.CreateAssetEventsBody(asset_id=asset.id, extra={"by": "hand"}))
    assert made.extra == {"by": "hand"} and made.source_dag_id is None
    assert api.get_asset(asset.id).last_asset_event.timestamp >= made.timestamp
    refused(404, lambda: api.get_asset(1))


def settings(airflow, client):
    pools = airflow.PoolApi(client)
    assert [one.name for one in pools.get_pools().pools] == ["default_pool"]
    made = pools.post_pool(airflow.PoolBody(name="gpu", slots=2, description="cards"))
    assert (made.open_slots, made.occupied_slots) == (2, 0)
    assert pools.patch_pool("gpu", airflow.PoolPatchBody(slots=3), update_mask=["slots"]).slots == 3
    refused(409, lambda: pools.post_pool(airflow.PoolBody(name="gpu", slots=2)))
    refused(409, lambda: pools.delete_pool("default_pool"))
    pools.delete_pool("gpu")
    refused(404, lambda: pools.get_pool("gpu"))
    variables = airflow.VariableApi(client)
    assert variables.post_variable(airflow.VariableBody(key="bucket", value="s3://a")).value == "s3://a"
    hidden = variables.post_variable(airflow.VariableBody(key="api_token", value="hunter2"))
    assert hidden.value == "***" and variables.get_variable("api_token").value == "***"
    assert variables.patch_variable("bucket", airflow.VariableBody(key="bucket", value={"a": 1})).value == '{"a":1}'
    assert [one.key for one in variables.get_variables(order_by=["-key"]).variables] == ["bucket", "api_token"]
    variables.delete_variable("bucket")
    refused(404, lambda: variables.get_variable("bucket"))
    connections = airflow.ConnectionApi(client)
    body = airflow.ConnectionBody(connection_id="slack", conn_type="http", host="hooks.slack.com", login="me", password="hunter2",
                                  extra='{"token": "hunter2", "channel": "ml"}')
    made = connections.post_connection(body)
    assert "hunter2" not in made.to_json() and json.loads(made.extra)["channel"] == "ml"
    assert "hunter2" not in connections.get_connections().to_json()
    changed = connections.patch_connection("slack", airflow.ConnectionBody(connection_id="slack", conn_type="http", host="b"), update_mask=["host"])
    assert (changed.host, changed.login) == ("b", "me")
    connections.delete_connection("slack")
    refused(404, lambda: connections.get_connection("slack"))


def trail(airflow, client):
    api = airflow.EventLogApi(client)
    logs = api.get_event_logs(limit=1000).event_logs
    events = {one.event for one in logs}
    wanted = {"patch_dag", "trigger_dag_run", "post_clear_task_instances", "patch_task_instance", "patch_dag_run", "clear_dag_run",
              "create_backfill", "post_pool", "post_variable", "post_connection", "create_xcom_entry", "trigger_dag_run.refused"}
    assert wanted <= events, wanted - events
    assert not any("hunter2" in (one.extra or "") for one in logs), "a secret is in the trail"
    mine = api.get_event_logs(event="trigger_dag_run", dag_id="quick").event_logs
    assert [(one.owner, one.dag_id) for one in mine] == [("driver", "quick")]
    assert api.get_event_log(mine[0].event_log_id).when == mine[0].when


def deletions(airflow, client):
    api, dags_api = airflow.DagRunApi(client), airflow.DAGApi(client)
    made = api.trigger_dag_run("quick", airflow.TriggerDAGRunPostBody(logical_date=None))
    ended(api, "quick", made.dag_run_id)
    assert api.patch_dag_run("quick", made.dag_run_id, airflow.DAGRunPatchBody(note="to go")).note == "to go"
    assert api.delete_dag_run("quick", made.dag_run_id) is None
    refused(404, lambda: api.get_dag_run("quick", made.dag_run_id))
    refused(404, lambda: api.delete_dag_run("quick", made.dag_run_id))
    # Its file would bring it back without its history.
    refused(409, lambda: dags_api.delete_dag("quick"))
    refused(404, lambda: dags_api.delete_dag("nowhere"))


def metrics(url, token):
    """What Prometheus' own parser reads."""
    import urllib3
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
    answer = urllib3.request("GET", f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 200, answer.data
    families = {family.name: family for family in text_string_to_metric_families(answer.data.decode())}
    runs = {sample.labels["state"]: sample.value for sample in families["airlock_dag_runs_ended"].samples if sample.name.endswith("_total")}
    assert runs["success"] >= 1 and runs["failed"] >= 1, runs
    assert families["airlock_task_attempts"].samples and families["airlock_http_request_duration_seconds"].type == "histogram"


def limited(service):
    """A token for one DAG, as an unmodified client meets it."""
    import airflow_client.client as airflow
    token = service.run("tokens", "create", "scoped", "--role", "operator", "--dag", "qui*")
    with airflow.ApiClient(airflow.Configuration(host=service.url, access_token=token)) as client:
        assert [dag.dag_id for dag in airflow.DAGApi(client).get_dags().dags] == ["quick"]
        assert {run.dag_id for run in airflow.DagRunApi(client).get_dag_runs("~").dag_runs} == {"quick"}
        refused(403, lambda: airflow.DAGApi(client).get_dag("pipeline"))
        refused(403, lambda: airflow.VariableApi(client).get_variables())
        service.run("tokens", "revoke", "scoped")
        refused(401, lambda: airflow.DAGApi(client).get_dags())


def main():
    python = common.environment("airflow-client", PACKAGES)
    if "AIRLOCK_CHECKING" not in os.environ:
        binary = program()
        environment = {**os.environ, "AIRLOCK_CHECKING": "1", "AIRLOCK_PROGRAM": str(binary), "PYTHONPATH": str(HERE)}
        sys.exit(subprocess.run([python, __file__], env=environment).returncode)
    with tempfile.TemporaryDirectory() as folder:
        service = Service(program(), Path(folder))
        for dag in (DAG, QUICK, READER):
            (service.dags / f"{dag['dag_id']}.yaml").write_text(json.dumps(dag))
        service.start()
        try:
            drive(service.url, service.run("tokens", "create", "driver", "--role", "admin"))
            limited(service)
            service.stop()
        finally:
            service.process.kill()
    print("the client found everything")


if __name__ == "__main__":
    main()

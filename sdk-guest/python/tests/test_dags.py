"""DAGs as documents, and their tasks natively."""

import json
import pathlib
import sys
import unittest
from datetime import datetime, timedelta

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from airlock_sdk import (  # noqa: E402
    DAG, BaseOperator, Label, TaskGroup, TriggerRule, airflow_names, chain, cross_downstream, dag, setup, task, task_group, teardown)
from airlock_sdk import builder  # noqa: E402
from airlock_sdk import dag as dag_module  # noqa: E402
from airlock_sdk import run as runs  # noqa: E402
from airlock_sdk.dag import DAGS  # noqa: E402
from airlock_sdk.document import Writer  # noqa: E402
from airlock_sdk.errors import DagError  # noqa: E402
from airlock_sdk.scan import Found  # noqa: E402
from airlock_sdk.testing import Attempt, FakeHost  # noqa: E402

airflow_names.install()


def document(made) -> dict:
    return json.loads(json.dumps(Writer(made).document()))


def tasks(made) -> dict:
    found = {}

    def collect(members, prefix=""):
        for one in members.get("tasks", []):
            found[prefix + one["task_id"]] = one
        for group in members.get("task_groups", []):
            collect(group, f"{prefix}{group['group_id']}.")

    collect(document(made))
    return found


class Dags(unittest.TestCase):
    def setUp(self):
        DAGS.clear()

    def test_calls_make_edges_and_values_become_templates(self):
        @dag(schedule="@daily", start_date=datetime(2026, 1, 1))
        def flow(limit: int = 3):
            @task
            def extract():
                return {"a": 1}

            @task(multiple_outputs=True)
            def split(values: dict, limit):
                return values

            split(extract(), limit)

        found = tasks(flow())
        self.assertEqual(found["split"]["depends_on"], ["extract"])
        self.assertEqual(found["split"]["config"], {"values": "{{ xcom_pull('extract') }}", "limit": "{{ params.limit }}"})
        self.assertTrue(found["split"]["multiple_outputs"])

    def test_f2_override_changes_one_call_and_repeated_calls_get_suffixes(self):
        with DAG("f2") as made:
            @task(retries=1)
            def work():
                return 1

            work()
            work()
            work.override(task_id="named", retries=5, pool="gpu")()
        found = tasks(made)
        self.assertEqual(sorted(found), ["named", "work", "work__1"])
        self.assertEqual((found["named"]["retries"], found["named"]["pool"], found["work"]["retries"]), (5, "gpu", 1))

    def test_mapping_over_lists_results_and_kwargs(self):
        with DAG("mapped") as made:
            @task
            def numbers():
                return [1, 2]

            @task
            def add(x, y):
                return x + y

            add.partial(y=10).expand(x=numbers())
            add.override(task_id="zipped").expand_kwargs([{"x": 1, "y": 2}])
            add.override(task_id="through").partial(y=1).expand(x=numbers().map(lambda one: one * 2))
        found = tasks(made)
        self.assertEqual(found["add"]["expand"], {"x": "{{ xcom_pull('numbers') }}"})
        self.assertEqual(found["add"]["config"], {"y": 10})
        self.assertEqual(found["zipped"]["expand_kwargs"], [{"x": 1, "y": 2}])
        with FakeHost() as host:
            ended = runs.run(Attempt(dag_id="mapped", task_id="through", config='{"x": 4, "y": 1}', map_index=0), host)
        self.assertEqual(ended.value, "9")

    def test_groups_prefix_ids_and_are_ends_of_edges(self):
        with DAG("groups") as made:
            first = BaseOperator(task_id="first")
            with TaskGroup("inner") as inner:
                a, b = BaseOperator(task_id="a"), BaseOperator(task_id="b")
                a >> Label("why") >> b
            last = BaseOperator(task_id="last", trigger_rule=TriggerRule.ALL_DONE)
            first >> inner >> last
        found = tasks(made)
        self.assertEqual(found["inner.a"]["depends_on"], ["first"])
        self.assertEqual(found["inner.b"]["depends_on"], ["inner.a"])
        self.assertEqual(found["last"]["depends_on"], ["inner.b"])
        self.assertEqual(found["last"]["trigger_rule"], "all_done")

    def test_a_mapped_group_hands_its_element_to_its_tasks(self):
        with DAG("mapped_group") as made:
            @task
            def square(n):
                return n * n

            @task_group
            def each(n):
                return square(n)

            each.expand(n=[1, 2])
        group = document(made)["task_groups"][0]
        self.assertEqual(group["expand"], {"element.n": [1, 2]})
        with FakeHost() as host:
            config = json.dumps({**group["tasks"][0]["config"], "element.n": 3})
            ended = runs.run(Attempt(dag_id="mapped_group", task_id="each.square", config=config, map_index=1), host)
        self.assertEqual(ended.value, "9")

    def test_setups_and_teardowns_wrap_what_is_between(self):
        with DAG("scoped") as made:
            @setup
            def start():
                return "cluster"

            @task
            def work():
                pass

            @teardown
            def stop(cluster):
                pass

            with stop(start()):
                work()
        found = tasks(made)
        self.assertTrue(found["start"]["setup"] and found["stop"]["teardown"])
        self.assertEqual(found["work"]["depends_on"], ["start"])
        self.assertEqual(found["stop"]["depends_on"], ["start", "work"])

    def test_chain_and_cross_downstream(self):
        with DAG("chained") as made:
            a, b, c, d, e = (BaseOperator(task_id=name) for name in "abcde")
            chain(a, [b, c], [d, e])
            cross_downstream([a], [d])
        self.assertEqual(tasks(made)["d"]["depends_on"], ["a", "b"])

    def test_classic_operators_are_those_of_the_host_with_their_grants(self):
        from airflow.operators.empty import EmptyOperator
        from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
        from airflow.sensors.external_task import ExternalTaskSensor
        with DAG("classic") as made:
            EmptyOperator(task_id="empty")
            ExternalTaskSensor(task_id="wait", external_dag_id="daily", execution_delta=timedelta(hours=1), poke_interval=5)
            TriggerDagRunOperator(task_id="go", trigger_dag_id="other", conf={"day": "{{ ds }}"})
        found = tasks(made)
        self.assertEqual(found["empty"]["operator"], "probe")
        self.assertEqual(found["wait"]["config"]["execution_delta"], 3600)
        self.assertEqual(document(made)["grants"], {"dag_state": ["daily"], "trigger_dags": ["other"]})

    def test_g5_braces_of_an_f_string_reach_the_host_as_a_template(self):
        name = "ds"
        with DAG("escaped") as made:
            @task
            def show(text):
                return text

            show(f"{{{{ {name} }}}}")
        self.assertEqual(tasks(made)["show"]["config"]["text"], "{{ ds }}")

    def test_the_context_comes_by_name(self):
        with DAG("context"):
            @task
            def tell(ds, ti=None, params=None, **kwargs):
                return [ds, ti.task_id, params["x"], kwargs["run_id"]]

            tell()
        with FakeHost() as host:
            ended = runs.run(Attempt(dag_id="context", task_id="tell", params='{"x": 1}', run_id="r"), host)
        self.assertEqual(json.loads(ended.value), ["2026-01-05", "tell", 1, "r"])

    def test_branch_short_circuit_and_bash(self):
        from airflow.operators.bash import BashOperator
        with DAG("outcomes") as made:
            @task.branch
            def choose():
                return "group"

            @task.short_circuit
            def gate():
                return False

            with TaskGroup("group") as group:
                BaseOperator(task_id="a")
            choose() >> group
            gate()
            BashOperator(task_id="shell", bash_command='X=3; false || echo "it is ${X}" && exit 99')
        self.assertEqual(made.dag_id, "outcomes")
        with FakeHost() as host:
            ended = {task_id: runs.run(Attempt(dag_id="outcomes", task_id=task_id, config='{}'), host)
                     for task_id in ("choose", "gate", "shell")}
        self.assertEqual((ended["choose"].kind, ended["choose"].value), ("branch", ["group.a"]))
        self.assertEqual((ended["gate"].kind, ended["gate"].value), ("short_circuit", True))
        self.assertEqual(ended["shell"].kind, "skip")
        self.assertIn(("info", "it is 3"), host.lines)

    def test_mistakes_are_one_sentence_each(self):
        with self.assertRaisesRegex(DagError, "not a lambda"):
            task(lambda: 1)
        DAG("twice")
        with self.assertRaisesRegex(DagError, "two DAGs are called 'twice', in .*test_dags.py:.* and in .*test_dags.py:"):
            DAG("twice")
        with self.assertRaisesRegex(ImportError, "airflow.sdk has no Nothing"):
            from airflow.sdk import Nothing  # noqa: F401
        with self.assertRaisesRegex(TypeError, "no argument retrys"):
            BaseOperator(task_id="a", retrys=1)

    def test_a_file_is_read_without_running_it(self):
        found = Found()
        found.read("dag.py", "import numpy as np\nfrom airlock_sdk import storage\nx = Variable.get('bucket')\ntask(lambda: 1)\n")
        self.assertEqual(found.interfaces, {"storage"})
        self.assertEqual(found.variables, {"bucket"})
        self.assertEqual([one.split(": ")[0] for one in found.problems], ["dag.py:1", "dag.py:4"])
        self.assertIn("native code", found.problems[0])

    def test_the_builder_finds_the_message_for_the_author_in_what_its_tool_says(self):
        said = 'Traceback:\nAssertionError: AIRLOCK-ERROR "a.py:9: no \'bucket\' in /1/a/b.py:3"\nCaused by:\n'
        self.assertEqual(builder.told(said), "a.py:9: no 'bucket' in a/b.py:3")
        self.assertIsNone(builder.told("Traceback:\nno space\n"))


_ = dag_module

if __name__ == "__main__":
    unittest.main()

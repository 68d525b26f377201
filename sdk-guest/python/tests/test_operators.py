"""Operators natively: schema from hints, typed config, outcomes, errors, the fake host."""

import dataclasses
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from airlock_sdk import (  # noqa: E402
    Denied, FailTask, NotFound, SkipTask, TaskFailed, Unavailable, http, operator, progress, storage, xcom)
from airlock_sdk.errors import DagError  # noqa: E402
from airlock_sdk.testing import FakeHost  # noqa: E402


@operator
def greet(name: str, times: int = 1, ti=None) -> str:
    """Greets somebody."""
    return f"hello {name} " * times + f"(try {ti.try_number})"


@dataclasses.dataclass
class Gate:
    low: float
    labels: list[str] = dataclasses.field(default_factory=list)


@operator(summary="A gate")
def gate(config: Gate):
    if config.low < 0:
        raise FailTask("below zero")
    if not config.labels:
        raise SkipTask("no labels")
    return config.labels


@operator(sensor=True)
def wait_for(uri: str):
    """Waits for an object."""
    return storage.exists(uri)


@operator
def double():
    """Doubles what upstream pushed."""
    progress.report(0.5, "half")
    xcom.push("doubled", xcom.pull("upstream", default=0) * 2)


class Operators(unittest.TestCase):
    def test_hints_become_a_schema(self):
        schema = greet.schema()
        self.assertEqual(schema["required"], ["name"])
        self.assertEqual(schema["properties"]["times"], {"type": "integer", "default": 1})
        self.assertNotIn("ti", schema["properties"])
        self.assertEqual(gate.schema()["properties"]["low"], {"type": "number"})

    def test_a_value_is_a_success(self):
        with FakeHost() as host:
            ended = host.run(greet, {"name": "you"}, try_number=2)
        self.assertEqual((ended.kind, ended.value), ("success", "hello you (try 2)"))

    def test_a_wrong_config_names_its_field(self):
        with FakeHost() as host:
            for config, field in (({}, "name"), ({"name": 3}, "name"), ({"name": "a", "x": 1}, "x")):
                ended = host.run(greet, config)
                self.assertEqual((ended.kind, ended.field), ("invalid_input", field))
            self.assertEqual(host.run(gate, {"low": 1, "labels": [1]}).field, "labels[0]")

    def test_skip_fail_and_other_errors_end_differently(self):
        with FakeHost() as host:
            self.assertEqual(host.run(gate, {"low": 1}).kind, "skip")
            self.assertEqual(host.run(gate, {"low": -1}).kind, "permanent")
            self.assertEqual(host.run(greet, {"name": "a", "times": 10**30}).kind, "transient")

    def test_a_sensor_waits_until_its_condition_holds(self):
        with FakeHost() as host:
            self.assertEqual(host.run(wait_for, {"uri": "s3://a/b"}).kind, "not_yet")
            storage.write("s3://a/b", b"x")
            self.assertEqual(host.run(wait_for, {"uri": "s3://a/b"}).kind, "success")

    def test_what_is_denied_or_not_there_is_an_error_of_its_own(self):
        with FakeHost(deny=["storage"]):
            with self.assertRaises(Denied):
                storage.read("s3://a/b")
        with FakeHost():
            with self.assertRaises(NotFound):
                storage.read("s3://a/b")

    def test_requests_go_to_the_host_and_say_what_they_are(self):
        with FakeHost() as host:
            host.answers[("POST", "https://a.example/in?q=a+b")] = '{"ok": true}'
            host.answers[("GET", "https://a.example/busy")] = 503, "later"
            host.answers[("GET", "https://a.example/gone")] = 404, b"no"
            answer = http.post("https://a.example/in", json={"n": 1}, params={"q": "a b"}, headers={"X-A": "b"})
            self.assertEqual((answer.ok, answer.json()), (True, {"ok": True}))
            headers = {"X-A": b"b", "content-type": b"application/json"}
            self.assertEqual(host.requests, [("POST", "https://a.example/in?q=a+b", headers, b'{"n": 1}')])
            self.assertEqual(http.get("https://a.example/busy").status, 503)
            with self.assertRaisesRegex(TaskFailed, "503: later"):
                http.get("https://a.example/busy").raise_for_status()
            with self.assertRaises(FailTask):
                http.get("https://a.example/gone").raise_for_status()
            with self.assertRaises(Unavailable):
                http.get("https://b.example/")
            with self.assertRaises(FailTask):
                http.post("https://a.example/in", body="a", form={"b": "c"})
        with FakeHost(deny=["http"]), self.assertRaises(Denied):
            http.get("https://a.example/busy")

    def test_xcoms_and_progress_go_to_the_host(self):
        with FakeHost() as host:
            host.xcoms[("upstream", "return_value")] = 4
            host.run(double)
            self.assertEqual(host.xcoms[("test_task", "doubled")], 8)
            self.assertEqual(host.progress, [(0.5, "half")])

    def test_a_lambda_is_refused_in_one_sentence(self):
        with self.assertRaisesRegex(DagError, "not a lambda"):
            operator(lambda: 1)


if __name__ == "__main__":
    unittest.main()

"""An unmodified MLflow client must find in `airlock serve` what it finds in its own server: the whole life of experiments, runs,
artifacts and models, twice round a kill of the service.

Needs cargo, and PyPI for its first run (about 90 MB of wheels). Everything it makes lies under target/python. Exit 1 where the
client gets another answer than it should.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

PACKAGES = [
    "mlflow-skinny==3.17.2", "numpy==2.4.6", "pandas==3.1.1", "scikit-learn==1.9.1", "scipy==1.17.1", "xgboost-cpu==3.2.0",
    # What these import.
    "annotated-doc==0.0.7", "annotated-types==0.8.0", "anyio==4.16.0", "cachetools==7.3.2", "certifi==2026.10.18",
    "charset-normalizer==3.5.2", "click==8.5.1", "cloudpickle==3.1.2", "databricks-sdk==0.156.0", "fastapi==0.165.0", "idna==3.20",
    "importlib_metadata==9.1.0", "joblib==1.6.0", "narwhals==2.29.0", "opentelemetry-api==1.45.2", "opentelemetry-proto==1.45.2",
    "opentelemetry-sdk==1.45.2", "opentelemetry-semantic-conventions==0.66b2", "packaging==26.3", "protobuf==7.36.2",
    "pydantic==2.14.3", "pydantic_core==2.50.4", "python-dateutil==4.0.0", "PyYAML==6.0.3", "requests==2.34.2", "skops==0.16.0",
    "sqlparse==0.6.1",
    "starlette==1.10.0", "threadpoolctl==3.8.0", "typing-inspection==0.4.5", "typing_extensions==4.16.0", "urllib3==2.8.0",
    "zipp==4.1.2",
]
HERE = Path(__file__).resolve().parent
PATIENCE_SECONDS = 60
# No client path may reach a file: each is refused, whoever asks.
TRAVERSALS = [
    "{root}/../secret", "{root}/a/../../b", "{root}/%2e%2e/secret", "{root}/..%2fsecret", "{root}/%252e%252e/secret",
    "{root}//etc/passwd", "{root}/%2fetc%2fpasswd", "{root}/a%5c..%5cb", "{root}/.", "{root}/a//b", "{root}/a%00b", "{root}/a%0ab",
    "../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "0/../secret", "{root}",
]


def program():
    """The path of the built `airlock`; AIRLOCK_PROGRAM names one that is there already."""
    if path := os.environ.get("AIRLOCK_PROGRAM"):
        return Path(path)
    subprocess.run(["cargo", "build", "--quiet", "--workspace"], cwd=common.ROOT, check=True)
    return common.TARGET / "debug" / "airlock"


class Service:
    """`airlock serve` on a data folder of its own."""

    def __init__(self, binary, place):
        self.binary, self.place, self.data = binary, place, place / "data"
        self.process = None

    def command(self, *arguments):
        return [self.binary, *arguments, "--data", self.data]

    def start(self):
        announced = self.data / "api.url"
        announced.unlink(missing_ok=True)
        self.process = subprocess.Popen(self.command("serve", "--quiet", "--listen", "127.0.0.1:0"), cwd=self.place, env=plain(), stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            if announced.exists():
                self.url = announced.read_text().strip()
                return
            time.sleep(0.02)
        raise SystemExit("airlock serve never said where it listens")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def run(self, *arguments):
        done = subprocess.run(self.command(*arguments), cwd=self.place, env=plain(), check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def token(self, name, role):
        return self.run("tokens", "create", name, "--role", role)


def plain():
    """The environment without settings of Airlock's or MLflow's."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("AIRLOCK_", "MLFLOW_"))}


def client(python, service, token, *arguments):
    """Starts a phase of the client."""
    settings = {"MLFLOW_TRACKING_URI": service.url, "MLFLOW_TRACKING_TOKEN": token, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    # What it says about other tools is no matter here.
    quiet = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore", "GIT_PYTHON_REFRESH": "quiet"}
    return subprocess.Popen([python, HERE / "mlflow_life.py", *arguments], cwd=service.place, env={**plain(), **settings, **quiet})


def must(started):
    if started.wait() != 0:
        raise SystemExit(f"the client was not content: {started.args[2:]}")


def check_traversals(service, token):
    """Paths as an attacker writes them: no client mends them here."""
    host = service.url.removeprefix("http://")
    headers = {"Authorization": f"Bearer {token}"}

    def ask(method, path, body=None):
        connection = http.client.HTTPConnection(host)
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    run = json.loads(ask("POST", "/api/2.0/mlflow/runs/create", "{}")[1])["run"]["info"]
    root = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for path in TRAVERSALS:
        for method in ("GET", "PUT", "DELETE"):
            target = "/api/2.0/mlflow-artifacts/artifacts/" + path.format(root=root)
            status, body = ask(method, target, b"x" if method == "PUT" else None)
            assert status == 400, (method, target, status, body)
        listed = "/api/2.0/mlflow-artifacts/artifacts?path=" + path.format(root=root)
        if path != "{root}":
            assert ask("GET", listed)[0] == 400, listed
    assert json.loads(ask("GET", f"/api/2.0/mlflow-artifacts/artifacts?path={root}")[1])["files"] == []
    print(f"{len(TRAVERSALS)} paths that would leave their place are refused")


def check(python, service, place):
    dump = place / "dump.json"
    service.start()
    writer = service.token("notebook", "author")
    must(client(python, service, writer, "life", dump))
    crowd = [client(python, service, writer, "worker", name) for name in ("one", "two")]
    for each in crowd:
        must(each)
    service.kill()
    service.start()
    must(client(python, service, writer, "again", dump))
    must(client(python, service, "alk_0123456789abcdef_00", "denied", "UNAUTHENTICATED"))
    must(client(python, service, service.token("reader", "viewer"), "denied", "PERMISSION_DENIED"))
    check_traversals(service, writer)
    service.run("tokens", "revoke", "notebook")
    must(client(python, service, writer, "denied", "UNAUTHENTICATED"))
    service.kill()


def main():
    binary = program()
    python = common.environment("mlflow", PACKAGES)
    begun = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="airlock-mlflow-"))
    service = Service(binary, place)
    try:
        check(python, service, place)
    finally:
        if service.process and service.process.poll() is None:
            service.kill()
        shutil.rmtree(place, ignore_errors=True)
    print(f"the MLflow client found everything: {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

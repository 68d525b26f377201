"""Experiments: runs with params, metrics and tags. Needs the grant `tracking`."""

from . import host


def _host():
    return host.current()


class Run:
    """One tracking run; as a context manager it ends as finished, or failed where the block raised."""

    def __init__(self, experiment: str, name: str):
        self._to = _host()
        self.run_id = self._to.call(self._to.tracking.start_run, experiment, name)

    def log_params(self, **params) -> None:
        """Texts by name; a param is set once."""
        self._to.call(self._to.tracking.log_params, self.run_id, [(name, str(value)) for name, value in params.items()])

    def log_metrics(self, step: int = 0, **metrics) -> None:
        """Numbers by name, at a step."""
        made = [self._to.tracking.Metric(name, float(value), step) for name, value in metrics.items()]
        self._to.call(self._to.tracking.log_metrics, self.run_id, made)

    def set_tags(self, **tags) -> None:
        self._to.call(self._to.tracking.set_tags, self.run_id, [(name, str(value)) for name, value in tags.items()])

    def log_artifact(self, path: str, artifact: str) -> None:
        """Names an artifact, given by its SHA-256, in the run."""
        self._to.call(self._to.tracking.log_artifact, self.run_id, path, artifact)

    def end(self, status: str = "finished") -> None:
        self._to.call(self._to.tracking.end_run, self.run_id, getattr(self._to.tracking.RunStatus, status.upper()))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.end("failed" if kind else "finished")


def start_run(experiment: str, name: str) -> Run:
    """Finds or makes the run called `name` in `experiment`."""
    return Run(experiment, name)

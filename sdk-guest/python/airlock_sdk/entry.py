"""Loads the files of a component: what they define is there afterwards. A file that cannot be loaded is an error with its name."""

import importlib
import importlib.util
import pathlib
import sys
import traceback

from . import airflow_names, document, scan
from .dag import DAGS
from .errors import DagError
from .operators import OPERATORS


LOADED: list = []
"""Paths of the author's files, in the order in which they were loaded."""


def load_file(path: pathlib.Path, name: str):
    """One file as a module called `name`."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def place_of(error: BaseException, path: pathlib.Path) -> str:
    """`FILE:LINE`, the innermost line of the file that the error came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if pathlib.Path(frame.filename).name == path.name]
    if isinstance(error, SyntaxError) and error.lineno:
        lines = [error.lineno]
    return f"{path.name}:{lines[-1]}" if lines else path.name


def folder_of(file: str) -> str:
    """The folder of the path that holds the file."""
    return next(folder for folder in sys.path if (pathlib.Path(folder) / file).is_file())


def load(folder: str, files: list, component: str, modules=(), variables=()) -> None:
    """Loads every file, in order. Raises one `DagError` with a line for each file that cannot be loaded."""
    airflow_names.install()
    document.COMPONENT = component
    scan.VARIABLES[:] = sorted(variables)
    root = pathlib.Path(folder)
    sys.path.insert(0, str(root))
    problems = []
    for file in files:
        path = root / file
        name = ".".join(pathlib.PurePath(file).with_suffix("").parts)
        try:
            if name not in sys.modules:
                load_file(path, name)
            LOADED.append(sys.modules[name].__file__)
        except Exception as error:
            problems.append(f"{place_of(error, path)}: {type(error).__name__}: {error}")
    if not problems:
        preload(modules)
        try:
            described()
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}")
    if problems:
        raise DagError("\n".join(problems))


def preload(modules) -> None:
    """What functions import when they are called must be in memory: there are no files in the sandbox."""
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception:  # what is not there is an error of the task that asks for it
            continue


def described() -> dict:
    """What `describe` answers."""
    if not DAGS and not OPERATORS:
        raise DagError("there is neither a DAG nor an operator in it; call the function that @dag made, or write @operator")
    texts = document.documents(DAGS)
    notes()
    kinds = {task.operator_kind for dag in DAGS.values() for task in dag.tasks}
    operators = [(one.name, one.summary, one.is_sensor, one.schema()) for one in OPERATORS.values()]
    if DAGS:
        summaries = {"task": "A task of one of this component's DAGs", "sensor": "A sensor of one of this component's DAGs",
                     "callback": "A callback of one of this component's DAGs"}
        operators += [(kind, summaries[kind], kind == "sensor", {"type": "object"}) for kind in sorted(kinds | {"callback"} | {"task"})]
    return {"name": document.COMPONENT, "operators": operators, "dags": texts}


def notes() -> None:
    """Tells the author what is taken and means nothing."""
    for dag_id, dag in sorted(DAGS.items()):
        if getattr(dag.schedule, "is_partitioned", False):
            print(f"note: dag {dag_id}: assets have no partitions here; it gets a run for each update", file=sys.stderr)

"""One attempt: finds what the context names, hands it its arguments, and says how it ended. Plain data in, plain data out."""

import dataclasses
import json
import traceback

from . import context as contexts
from . import variables
from .dag import DAGS
from .document import CONF_PREFIX, ELEMENT_PREFIX
from .errors import Defer, FailTask, InvalidInput, NotYet, SkipTask, Unavailable
from .operators import OPERATORS
from .outcomes import Branch, ShortCircuit
from .schema import encode


@dataclasses.dataclass(frozen=True)
class Ended:
    """How an attempt ended. `kind`: success, skip, branch, short_circuit, not_yet, defer, transient, permanent, invalid_input."""

    kind: str
    value: object = None
    field: str = ""


def run(attempt, host) -> Ended:
    """Carries one attempt out. `attempt` has the members of the contract's `task-context`, `config` and `params` as JSON text."""
    try:
        config = json.loads(attempt.config)
        if attempt.operator == "callback":
            return _call_back(attempt, host, config)
        if attempt.operator in OPERATORS:
            return _ended(OPERATORS[attempt.operator].call(attempt, host, config))
        return _ended(_task(attempt, host, config))
    except SkipTask as skip:
        return Ended("skip", str(skip) or "the task skipped itself")
    except NotYet:
        return Ended("not_yet")
    except Defer as defer:
        return Ended("defer", defer.until.isoformat())
    except InvalidInput as error:
        return Ended("invalid_input", error.message, error.field)
    except FailTask as error:
        return Ended("permanent", f"{type(error).__name__}: {error}")
    except Unavailable as error:
        return Ended("transient", str(error))
    except SystemExit as error:
        return Ended("success") if not error.code else Ended("transient", f"SystemExit: {error.code}")
    except Exception as error:
        host.log("error", traceback.format_exc())
        return Ended("transient", _with_policy(attempt, error))


def _with_policy(attempt, error) -> str:
    message = f"{type(error).__name__}: {error}"
    task = _find(attempt.dag_id, attempt.task_id)
    policy = task.arguments.get("retry_policy") if task is not None else None
    return policy.marked(error, message) if policy is not None else message


def _ended(value) -> Ended:
    if isinstance(value, Branch):
        return Ended("branch", list(value.task_ids))
    if isinstance(value, ShortCircuit):
        return Ended("short_circuit", value.ignore_rules)
    return Ended("success", None if value is None else encode_result(value))


def encode_result(value):
    """What a task returned, as JSON; an error names what JSON cannot hold."""
    from .errors import DagError
    try:
        return json.dumps(encode(value), ensure_ascii=False, allow_nan=False)
    except (DagError, ValueError) as error:
        raise FailTask(f"what the task returned cannot be an XCom: {error}; return numbers, texts, lists and dicts") from None


def _find(dag_id: str, task_id: str):
    dag = DAGS.get(dag_id)
    return dag.task_dict.get(task_id) if dag is not None else None


def _task(attempt, host, config: dict):
    task = _find(attempt.dag_id, attempt.task_id)
    if task is None:
        raise FailTask(f"this component has no task {attempt.task_id!r} of a DAG {attempt.dag_id!r}; build it anew")
    extra = {name[len(CONF_PREFIX):]: config.pop(name) for name in list(config) if name.startswith(CONF_PREFIX)}
    variables.KNOWN.clear()
    variables.KNOWN.update({name[len("variable."):]: value for name, value in extra.items() if name.startswith("variable.")})
    elements = {name[len(ELEMENT_PREFIX):]: config.pop(name) for name in list(config) if name.startswith(ELEMENT_PREFIX)}
    restore = _Restore(task, elements)
    fields = {name: restore.value(value) for name, value in config.items()}
    if task.is_mapped:
        task = _instance(task, fields, elements)
    else:
        _fill(task, fields)
    params = {**_defaults(task), **json.loads(attempt.params)}
    context = contexts.build(attempt, host, task, task.dag, _own_params(task, params), extra)
    with contexts.entered(context):
        task.pre_execute(context)
        result = task.execute(context)
        if not isinstance(result, (Branch, ShortCircuit)):
            task.post_execute(context, result)
    _tell_events(context, host)
    return _gone_through(result, host)


def _gone_through(result, host):
    """A generator is gone through; what it says about assets goes to the log."""
    import inspect
    if not inspect.isgenerator(result):
        return result
    rest = []
    for one in result:
        from .assets import Metadata
        if isinstance(one, Metadata):
            host.log("info", f"asset {getattr(one.asset, 'uri', one.asset)}: {one.extra}")
        else:
            rest.append(one)
    return rest or None


def _tell_events(context, host) -> None:
    for asset, event in context["outlet_events"].items():
        if event.extra or event.asset_alias_events:
            host.log("info", f"asset {asset!r}: {event.extra or event.asset_alias_events}")


def _defaults(task) -> dict:
    from .params import as_param
    return {name: as_param(param).value for name, param in task.params.items()}


def _own_params(task, params: dict) -> dict:
    """A task's own params go before the DAG's defaults, and the run's conf before both."""
    from .params import as_param
    own = dict(params)
    for name, param in task.params.items():
        dag = task.dag.params.get(name) if task.dag is not None else None
        if dag is None or params.get(name) == as_param(dag).value:
            own[name] = as_param(param).value if dag is not None else params.get(name)
    return own


class _Restore:
    """Puts back what the document could not hold."""

    def __init__(self, task, elements: dict):
        self.task, self.elements = task, elements

    def value(self, value):
        if isinstance(value, list):
            return [self.value(member) for member in value]
        if not isinstance(value, dict):
            return value
        if "airlock.object" in value:
            return self.task.objects[value["airlock.object"]]
        if "airlock.map" in value:
            functions = self.task.objects[value["airlock.map"]]
            return [through(functions, member) for member in value["value"] or []]
        if "airlock.element" in value:
            name = value["airlock.element"]
            return self.elements[name] if name in self.elements else self.elements[""][name]
        return {key: self.value(member) for key, member in value.items()}


def through(functions, value):
    """A value through each of the functions."""
    for function in functions:
        value = function(value)
    return value


def _fill(task, fields: dict) -> None:
    if getattr(task, "is_flat", False):
        others = {name: fields.pop(name) for name in task.template_fields if name != "op_kwargs" and name in fields}
        task.op_kwargs, fields = fields, others
    for name, value in fields.items():
        setattr(task, name, value)


def _instance(task, fields: dict, elements: dict):
    """The task as this map index has it."""
    functions = task.element_functions
    if "*" in functions:
        fields.update(through(functions["*"], elements["*"]))
    for name in functions:
        if name in fields and name != "*":
            fields[name] = through(functions[name], fields[name])
    arguments = {name: value for name, value in task.partial_arguments.items() if name not in fields}
    if not getattr(task.mapped_class, "is_flat", False):
        return task.unmapped({**arguments, **fields})
    others = {name: fields.pop(name) for name in task.mapped_class.template_fields if name != "op_kwargs" and name in fields}
    arguments.pop("op_kwargs", None)
    return task.unmapped({**arguments, **others, "op_kwargs": fields})


def _call_back(attempt, host, config: dict) -> Ended:
    dag = DAGS.get(config["dag_id"])
    owner = dag.task_dict.get(config["task_id"]) if config["task_id"] else dag
    callbacks = owner.arguments[config["callback"]]
    callbacks = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    task = owner if config["task_id"] else None
    context = contexts.build(attempt, host, task, dag, json.loads(attempt.params), {})
    with contexts.entered(context):
        callbacks[config["index"]](context)
    return Ended("success")

"""DAGs as documents of the host's DAG schema. It refuses what the schema cannot say, with a sentence."""

import datetime
import json

from . import timetables
from .assets import Asset
from .context import asks_for
from .dates import zone_name
from .errors import DagError
from .group import TaskGroup
from .mapped import GroupElement, elements
from .params import DagParam, as_param
from .schema import encode
from .xcom_arg import XComArg

COMPONENT = "python"
"""What this component is called; the builder says it."""

CONF_PREFIX = "context."
"""Config members that begin so hold what the context has from templates."""

ELEMENT_PREFIX = "element."
"""Config members that begin so hold the element of a mapped group."""

PLAIN = ("retries pool pool_slots depends_on_past wait_for_downstream ignore_first_depends_on_past do_xcom_push "
         "wait_for_past_depends_before_skipping max_active_tis_per_dag max_active_tis_per_dagrun multiple_outputs owner email "
         "email_on_failure email_on_retry task_display_name map_index_template queue priority_weight mode soft_fail never_fail "
         "silent_fail cache grants gpu doc_md deferrable").split()
SPANS = "retry_delay max_retry_delay execution_timeout sla timeout poke_interval max_wait".split()
CALLBACKS = ("on_execute_callback", "on_failure_callback", "on_success_callback", "on_retry_callback", "on_skipped_callback")
SENSOR_ONLY = ("timeout", "poke_interval", "max_wait", "mode", "soft_fail", "never_fail", "silent_fail", "exponential_backoff", "deferrable")


def span(value):
    """A timedelta or a number of seconds, as the schema has it."""
    return value.total_seconds() if isinstance(value, datetime.timedelta) else value


class Writer:
    """Writes one DAG."""

    def __init__(self, dag):
        self.dag = dag
        self.grants: dict = {name: list(values) if isinstance(values, (list, tuple)) else values
                             for name, values in (dag.arguments.get("grants") or {}).items()}

    def document(self) -> dict:
        dag, arguments = self.dag, self.dag.arguments
        document = {"dag_id": dag.dag_id, "full_ids": True, "timezone": self._zone()}
        document.update(timetables.document(dag.schedule))
        document.update(self._texts())
        for name in ("start_date", "end_date"):
            value = arguments.get(name) or dag.default_args.get(name)
            if value is not None:
                document[name] = value if isinstance(value, str) else value.isoformat()
        for name in ("catchup", "max_active_runs", "max_active_tasks", "is_paused_upon_creation", "max_consecutive_failed_dag_runs"):
            if arguments.get(name) is not None:
                document[name] = arguments[name]
        if arguments.get("fail_fast") or arguments.get("fail_stop"):
            document["fail_fast"] = True
        if arguments.get("dagrun_timeout") is not None:
            document["dagrun_timeout"] = span(arguments["dagrun_timeout"])
        if arguments.get("deadline") is not None:
            raise DagError(f"dag {dag.dag_id!r}: deadlines call operators of the host; write that DAG in YAML")
        document["params"] = self._params()
        document.update(self._members(dag.task_group))
        for name in ("on_failure_callback", "on_success_callback", "sla_miss_callback"):
            calls = self._callbacks(arguments.get(name), "", name)
            if calls:
                document[name] = calls
        if self.grants:
            document["grants"] = self.grants
        return document

    def _zone(self) -> str:
        start = self.dag.start_date or self.dag.default_args.get("start_date")
        zone = getattr(start, "tzinfo", None)
        name = zone_name(zone) if zone else "UTC"
        return "UTC" if name in ("UTC", "Z", "+00:00") or name.startswith("UTC") else name

    def _texts(self) -> dict:
        arguments, texts = self.dag.arguments, {}
        for name in ("description", "doc_md", "dag_display_name"):
            if arguments.get(name):
                texts[name] = str(arguments[name])
        if self.dag.tags:
            texts["tags"] = sorted(map(str, self.dag.tags))
        if arguments.get("owner_links"):
            texts["owner_links"] = dict(arguments["owner_links"])
        return texts

    def _params(self) -> dict:
        params = {name: as_param(param) for name, param in self.dag.params.items()}
        for task in self.dag.tasks:
            for name, param in task.params.items():
                params.setdefault(name, as_param(param))
        return {name: param.document() for name, param in params.items()}

    def _members(self, group) -> dict:
        tasks, groups = [], []
        for child in group.children:
            if not isinstance(child, TaskGroup):
                tasks.append(self._task(child))
            elif child.prefix_group_id:
                groups.append(self._group(child))
            else:
                if child.expansion is not None:
                    raise DagError(f"group {child.group_id!r} is mapped and needs its prefix: leave prefix_group_id on")
                inner = self._members(child)
                tasks.extend(inner.get("tasks", []))
                groups.extend(inner.get("task_groups", []))
        return {**({"tasks": tasks} if tasks else {}), **({"task_groups": [one for one in groups if one]} if groups else {})}

    def _group(self, group) -> dict | None:
        members = self._members(group)
        if not members.get("tasks") and not members.get("task_groups"):
            return None
        document = {"group_id": group.label, **({"tooltip": group.tooltip} if group.tooltip else {}), **members}
        if group.expansion is not None:
            document["expand"] = self._group_expansion(group)
        return document

    def _group_expansion(self, group) -> dict:
        if isinstance(group.expansion, dict):
            found = {}
            for name, value in group.expansion.items():
                found[ELEMENT_PREFIX + name], functions = self._elements(value, [])
                if functions:
                    raise DagError(f"group {group.group_id!r}: map() before a mapped group; call it inside")
            return found
        value, functions = self._elements(group.expansion, [])
        if functions:
            raise DagError(f"group {group.group_id!r}: map() before a mapped group; call it inside")
        return {ELEMENT_PREFIX: value}

    def _elements(self, value, objects):
        found, functions = elements(value)
        return (found if isinstance(found, str) else [self._value(one, objects) for one in found]), functions

    def _task(self, task) -> dict:
        task.objects.clear()
        document = {"task_id": task.label, "operator": f"{COMPONENT}.{task.operator_kind}"}
        if task.upstream_task_ids:
            document["depends_on"] = sorted(task.upstream_task_ids)
        in_mapped = task.task_group.mapped_group() is not None
        if task.native and not task.is_mapped and not (in_mapped and task.native == "probe"):
            document["operator"] = task.native
            document["config"] = self._value(task.config(), task.objects)
            if task.objects or in_mapped and task.native != "probe":
                raise DagError(f"task {task.task_id!r}: {type(task).__name__} is the host's and takes neither objects nor mapping")
            for name, values in task.needs().items():
                self.grants[name] = sorted(set(self.grants.get(name, [])) | set(values))
        elif task.native and task.is_mapped:
            self._native_mapped(task, document)
        else:
            document["config"] = self._config(task)
            if task.is_mapped:
                document.update(self._expansion(task))
        document.update(self._settings(task))
        return document

    def _native_mapped(self, task, document: dict) -> None:
        """A mapped operator of the host: the config is read off one instance of the class."""
        if not isinstance(task.expansion, dict):
            raise DagError(f"task {task.task_id!r}: {task.operator_name} takes expand(), not expand_kwargs()")
        names = set(task.expansion)
        if not names <= set(task.mapped_class.template_fields):
            raise DagError(f"task {task.task_id!r}: {task.operator_name} cannot be expanded over {', '.join(sorted(names))}")
        one = task.unmapped({**task.partial_arguments, **{name: "?" for name in names}})
        config = {name: value for name, value in one.config().items() if name not in names}
        document["operator"], document["config"] = task.native, self._value(config, task.objects)
        document["expand"] = {name: self._elements(value, task.objects)[0] for name, value in task.expansion.items()}

    def _config(self, task) -> dict:
        """What the task reads: its template fields, flat for functions; and what its context has from templates."""
        if task.is_mapped:
            fields = {name: value for name, value in task.partial_arguments.items() if name in task.mapped_class.template_fields}
        else:
            fields = {name: getattr(task, name, None) for name in task.template_fields}
        if getattr(task, "is_flat", False):
            fields.update(fields.pop("op_kwargs", None) or {})
        fields = {name: self._files(task, value) for name, value in fields.items() if value not in (None, (), {}, [])}
        config = {name: self._value(value, task.objects) for name, value in fields.items()}
        for name in self._asked(task):
            from .context import FROM_TEMPLATES
            config[CONF_PREFIX + name] = FROM_TEMPLATES[name]
        from .scan import VARIABLES
        for name in VARIABLES:
            if _reads_variables(task):
                config[f"{CONF_PREFIX}variable.{name}"] = "{{ var.value.get(" + repr(name) + ", none) }}"
        return config

    def _asked(self, task) -> list:
        function = task.partial_arguments.get("python_callable") if task.is_mapped else getattr(task, "python_callable", None)
        if function is None:
            return ["conf"] if _wants_conf(task) else []
        return sorted(asks_for(function))

    def _files(self, task, value):
        """The text of a file that a template field names, as Airflow reads it; beside the DAG's own file."""
        endings = tuple(task.template_ext or ())
        if isinstance(value, dict):
            return {key: self._files(task, member) for key, member in value.items()}
        if not endings or not isinstance(value, str) or not value.endswith(endings) or " " in value:
            return value
        import pathlib
        path = pathlib.Path(self.dag.fileloc.rpartition(":")[0]).parent / value
        try:
            return path.read_text()
        except OSError:
            raise DagError(f"task {task.task_id!r}: the template file {value} is not beside the DAG's file") from None

    def _expansion(self, task) -> dict:
        expansion = task.expansion
        task.element_functions = {}
        if isinstance(expansion, dict):
            found = {}
            for name, value in expansion.items():
                found[name], functions = self._elements(value, task.objects)
                if functions:
                    task.element_functions[name] = functions
            return {"expand": found}
        value, functions = self._elements(expansion, task.objects)
        if functions:
            task.element_functions["*"] = functions
            return {"expand": {ELEMENT_PREFIX + "*": value}}
        return {"expand_kwargs": value}

    def _settings(self, task) -> dict:
        arguments, settings = task.arguments, {}
        for name in PLAIN:
            if arguments.get(name) is not None and (task.is_sensor or name not in SENSOR_ONLY):
                settings[name] = encode(arguments[name])
        for name in SPANS:
            if arguments.get(name) is not None and (task.is_sensor or name not in SENSOR_ONLY):
                settings[name] = span(arguments[name])
        if arguments.get("retry_exponential_backoff"):
            settings["retry_exponential_backoff"] = arguments["retry_exponential_backoff"]
        if task.is_sensor and arguments.get("exponential_backoff"):
            settings["exponential_backoff"] = True
        doc = arguments.get("doc_md") or arguments.get("doc") or arguments.get("doc_rst") or getattr(task, "doc_md", None)
        if doc:
            settings["doc_md"] = str(doc)
        rule = task.trigger_rule
        if rule and not task.is_teardown:
            settings["trigger_rule"] = str(rule)
        settings.update(self._weight(task))
        for name, assets in (("inlets", task.inlets), ("outlets", task.outlets)):
            uris = [asset.uri for asset in assets if isinstance(asset, Asset)]
            if uris:
                settings[name] = uris
        if task.is_setup:
            settings["setup"] = True
        if task.is_teardown:
            settings["teardown"] = True
            if task.on_failure_fail_dagrun:
                settings["on_failure_fail_dagrun"] = True
        for name in CALLBACKS:
            calls = self._callbacks(arguments.get(name), task.task_id, name)
            if calls:
                settings[name] = calls
        if arguments.get("retry_policy") is not None:
            settings["retry_policy"] = arguments["retry_policy"].document()
        return settings

    def _weight(self, task) -> dict:
        rule = task.arguments.get("weight_rule")
        if rule is None:
            return {}
        if str(rule) not in ("downstream", "upstream", "absolute"):
            raise DagError(f"task {task.task_id!r}: a weight rule of one's own would run in the scheduler; use downstream, upstream or absolute")
        return {"weight_rule": str(rule)}

    def _callbacks(self, callbacks, task_id: str, name: str) -> list:
        if callbacks is None:
            return []
        callbacks = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
        config = {"dag_id": self.dag.dag_id, "task_id": task_id, "callback": name}
        return [{"operator": f"{COMPONENT}.callback", "config": {**config, "index": at}} for at in range(len(callbacks))]

    def _value(self, value, objects: list):
        """JSON as it is; what a run will know as a template; anything else as a place in the component's memory."""
        if isinstance(value, XComArg):
            if not value.functions:
                return value.template()
            objects.append(value.functions)
            return {"airlock.map": len(objects) - 1, "value": value.template()}
        if isinstance(value, DagParam):
            return value.template()
        if isinstance(value, GroupElement):
            return {"airlock.element": value.name}
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {key: self._value(member, objects) for key, member in value.items()}
        if type(value) in (list, tuple):
            return [self._value(member, objects) for member in value]
        if value is None or type(value) in (str, int, float, bool):
            return value
        if isinstance(value, str):
            return str(value)
        objects.append(value)
        return {"airlock.object": len(objects) - 1}


def _wants_conf(task) -> bool:
    execute = type(task).execute
    code = getattr(execute, "__code__", None)
    return code is not None and "dag_run" in code.co_consts


def _reads_variables(task) -> bool:
    return not task.native


def documents(dags) -> list:
    """Every DAG as JSON text, in order of id."""
    texts = []
    for dag_id in sorted(dags):
        document = Writer(dags[dag_id]).document()
        if document.get("tasks") or document.get("task_groups"):
            texts.append(json.dumps(document, ensure_ascii=False))
    return texts

"""Tasks: what Airflow's BaseOperator says about every task, and its edges. It refuses arguments that no task has."""

import inspect
import logging

from .dag import current_dag
from .edges import Linked, flat
from .errors import DagError
from .group import current_group
from .xcom_arg import XComArg, links_in

ARGUMENTS = frozenset("""
task_id owner email email_on_retry email_on_failure retries retry_delay retry_exponential_backoff max_retry_delay start_date end_date
depends_on_past ignore_first_depends_on_past wait_for_past_depends_before_skipping wait_for_downstream dag params default_args
priority_weight weight_rule queue pool pool_slots sla execution_timeout on_execute_callback on_failure_callback on_success_callback
on_retry_callback on_skipped_callback pre_execute post_execute trigger_rule resources run_as_user map_index_template
max_active_tis_per_dag max_active_tis_per_dagrun executor executor_config do_xcom_push multiple_outputs inlets outlets task_group doc
doc_md doc_json doc_yaml doc_rst task_display_name logger_name allow_nested_operators render_template_as_native_obj retry_policy
wait_for_past depends_on cache grants gpu task_concurrency provide_context xcom_push render_template_as_native_obj start_trigger_args
start_from_trigger email_subject""".split())
"""What may be said of every task."""

SENSOR_ARGUMENTS = frozenset(
    "poke_interval timeout soft_fail mode exponential_backoff max_wait silent_fail never_fail deferrable".split())
"""What may be said of sensors besides."""

_TEARDOWNS: list = []


class _Meta(type):
    """Fills in `default_args` and, once a task is whole, adds it to its DAG."""

    def __call__(cls, *args, **kwargs):
        if args:
            raise TypeError(f"{cls.__name__} takes named arguments only, for example task_id=...")
        group = kwargs.get("task_group") or current_group()
        dag = kwargs.get("dag") or (group.dag if group else current_dag())
        defaults = dict(dag.default_args) if dag is not None else {}
        if group is not None and group.dag is dag:
            defaults = group.defaults()
        defaults.update(kwargs.get("default_args") or {})
        named = cls.named_arguments()
        for name, value in defaults.items():
            if name in named and name not in kwargs:
                kwargs[name] = value
        params = defaults.get("params")
        task = super().__call__(**kwargs)
        task.finish(dag, group if group is not None and group.dag is dag else None, params)
        return task

    def named_arguments(cls) -> set:
        """Every named argument of `__init__`, through all classes."""
        names = set(ARGUMENTS)
        for base in cls.__mro__:
            if "__init__" in vars(base):
                names.update(inspect.signature(base.__init__).parameters)
        return names - {"self", "kwargs", "args", "task_id", "task_group", "dag", "default_args"}


class BaseOperator(Linked, metaclass=_Meta):
    """One task. A class of one's own has `execute(self, context)`; `template_fields` names the attributes that hold templates."""

    template_fields = ()
    template_ext = ()
    ui_color = "#fff"
    operator_kind = "task"
    native = None
    """The operator of the host that carries it out, if it is not this component."""
    is_sensor = False
    is_mapped = False
    expansion = None
    elements_of = {}

    def __init__(self, task_id: str, **arguments):
        unknown = set(arguments) - ARGUMENTS - (SENSOR_ARGUMENTS if self.is_sensor else set())
        if unknown:
            raise TypeError(f"task {task_id!r}: {type(self).__name__} has no argument {', '.join(sorted(unknown))}")
        self.task_id = self.label = task_id
        self.arguments = arguments
        self.upstream_task_ids, self.downstream_task_ids = set(), set()
        self.is_setup = self.is_teardown = False
        self.on_failure_fail_dagrun = False
        self.objects = []
        self.dag = self.task_group = None
        self.params = dict(arguments.get("params") or {})
        self.trigger_rule = arguments.get("trigger_rule")
        self.outlets, self.inlets = flat(arguments.get("outlets")), flat(arguments.get("inlets"))

    def finish(self, dag, group, params=None) -> None:
        """Puts the task into its DAG and group, with the edges that its arguments make."""
        self.params = {**(params or {}), **self.params}
        if dag is not None:
            self.join(dag, group)
        for field in self.template_fields:
            self.wait_for(getattr(self, field, None))

    def join(self, dag, group=None) -> None:
        self.task_group = group or dag.task_group
        self.task_id = self.task_group.child_id(self.label)
        dag.add_task(self)
        self.task_group.children.append(self)
        for teardown in _TEARDOWNS:
            teardown.append(self)

    def wait_for(self, value) -> None:
        """The edges that a value makes which other tasks will return."""
        for link in links_in(value):
            for operator in link.operators():
                self.add_upstream(operator)

    def add_upstream(self, other) -> None:
        if other is self:
            raise DagError(f"task {self.task_id!r} depends on itself")
        if self.dag is None and other.dag is not None:
            self.join(other.dag)
        if other.dag is None and self.dag is not None:
            other.join(self.dag)
        if other.dag is not self.dag:
            raise DagError(f"tasks {other.task_id!r} and {self.task_id!r} are in different DAGs")
        self.upstream_task_ids.add(other.task_id)
        other.downstream_task_ids.add(self.task_id)

    @property
    def roots(self) -> list:
        return [self]

    leaves = roots

    @property
    def output(self) -> XComArg:
        return XComArg(self)

    @property
    def operator_name(self) -> str:
        return type(self).__name__

    task_type = operator_name

    @property
    def upstream_list(self) -> list:
        return [self.dag.task_dict[task_id] for task_id in self.upstream_task_ids]

    @property
    def downstream_list(self) -> list:
        return [self.dag.task_dict[task_id] for task_id in self.downstream_task_ids]

    @property
    def log(self):
        return logging.getLogger(f"airflow.task.{self.task_id}")

    @property
    def dag_id(self) -> str:
        return self.dag.dag_id if self.dag else ""

    @property
    def retries(self) -> int:
        return self.arguments.get("retries") or 0

    @property
    def owner(self) -> str:
        return self.arguments.get("owner") or "airflow"

    def as_setup(self):
        self.is_setup = True
        return self

    def as_teardown(self, setups=None, on_failure_fail_dagrun=None):
        self.is_teardown = True
        if on_failure_fail_dagrun is not None:
            self.on_failure_fail_dagrun = on_failure_fail_dagrun
        for setup in flat(setups):
            setup = setup.operator if isinstance(setup, XComArg) else setup
            setup.is_setup = True
            self.add_upstream(setup)
        return self

    def __enter__(self):
        """`with a_teardown:` puts what is made in the block between its setups and it."""
        if not (self.is_setup or self.is_teardown):
            raise DagError(f"task {self.task_id!r} is neither a setup nor a teardown and cannot stand in `with`")
        _TEARDOWNS.append([])
        return self

    def __exit__(self, *_):
        inner = _TEARDOWNS.pop()
        ids = {task.task_id for task in inner}
        setups = [self] if self.is_setup else [one for one in self.upstream_list if one.is_setup]
        for task in inner:
            if not task.upstream_task_ids & ids:
                for setup in setups:
                    task.add_upstream(setup)
            if self.is_teardown and not task.is_teardown and not self._goes_on(task, ids):
                self.add_upstream(task)

    def _goes_on(self, task, ids: set) -> bool:
        return any(not self.dag.task_dict[one].is_teardown for one in task.downstream_task_ids & ids)

    def execute(self, context):
        raise NotImplementedError(f"{type(self).__name__} has no execute()")

    def pre_execute(self, context):
        """Called before `execute`."""

    def post_execute(self, context, result=None):
        """Called after `execute`."""

    def render_template(self, content, context, *_, **__):
        """A text with simple `{{ name }}` and `{{ a.b }}` filled in; everything else the host renders before the task starts."""
        from .context import fill_in
        return fill_in(content, context)

    def defer(self, *_, **__):
        raise DagError("defer() with a trigger of Airflow's needs its triggerer; raise airlock_sdk.Defer(until) or write a sensor")

    def xcom_pull(self, context, **arguments):
        return context["ti"].xcom_pull(**arguments)

    def xcom_push(self, context, key, value):
        context["ti"].xcom_push(key, value)

    def __repr__(self) -> str:
        return f"<Task({type(self).__name__}): {self.task_id}>"

    @classmethod
    def partial(cls, **fixed):
        """What all instances of a mapped task share; `.expand(...)` makes the task."""
        from .mapped import Partial
        return Partial(cls, fixed)


class BaseSensorOperator(BaseOperator):
    """A sensor: `poke(self, context)` says whether its condition holds."""

    is_sensor = True
    operator_kind = "sensor"

    def poke(self, context):
        raise NotImplementedError(f"{type(self).__name__} has no poke()")

    def execute(self, context):
        from .outcomes import sensed
        return sensed(self.poke(context))

    @property
    def timeout(self):
        return self.arguments.get("timeout", 604800)

    @property
    def poke_interval(self):
        return self.arguments.get("poke_interval", 60)


class PokeReturnValue:
    """What a sensor may return: whether it is done, and a value for its XCom."""

    def __init__(self, is_done: bool, xcom_value=None):
        self.is_done, self.xcom_value = is_done, xcom_value

    def __bool__(self) -> bool:
        return self.is_done

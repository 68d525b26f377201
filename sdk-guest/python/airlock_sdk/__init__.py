"""Airlock's SDK for Python: operators and DAGs as code, in a sandboxed component or natively under a fake host."""

from . import log, progress, xcom
from .assets import Asset, AssetAlias, Metadata, asset
from .context import get_current_context
from .dag import DAG, dag
from .decorators import setup, task, teardown
from .edges import chain, chain_linear, cross_downstream
from .errors import (
    AirlockError, CapabilityError, Conflict, DagError, Defer, Denied, FailTask, Invalid, InvalidInput, NotFound, NotYet, SkipTask,
    TaskFailed, TooLarge, Unavailable)
from .group import TaskGroup, task_group
from .names import Label, TriggerRule, WeightRule
from .operators import operator
from .params import Param
from .task import BaseOperator, BaseSensorOperator, PokeReturnValue
from .variables import Variable

__version__ = "0.1.0"

__all__ = [name for name in dict(globals()) if not name.startswith("_")]

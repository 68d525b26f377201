"""BashOperator and its kin on the shell of `shell`: the sandbox has no bash. The last line is the XCom, exit code 99 skips."""

from .errors import SkipTask, TaskFailed
from .outcomes import sensed
from .python_task import PythonOperator
from .shell import Shell
from .task import BaseOperator, BaseSensorOperator


def carry_out(command: str, env: dict, skips, log):
    """Runs the script and yields its last line; raises by its exit code."""
    shell = Shell(env or {}, log)
    code = shell.run(command)
    skips = skips if isinstance(skips, (list, tuple, set)) else [] if skips is None else [skips]
    if code in skips:
        raise SkipTask(f"the command ended with {code}")
    if code != 0:
        raise TaskFailed(f"the command ended with {code}")
    return shell.lines[-1] if shell.lines else ""


class BashOperator(BaseOperator):
    """A script of a few commands."""

    template_fields = ("bash_command", "env", "cwd")
    template_ext = (".sh", ".bash")

    def __init__(self, *, bash_command, env=None, append_env=False, output_encoding="utf-8", skip_on_exit_code=99, cwd=None,
                 output_processor=None, output_size_limit=None, **kwargs):
        super().__init__(**kwargs)
        self.bash_command, self.env, self.cwd = bash_command, env, cwd
        self.skip_on_exit_code = skip_on_exit_code
        self.output_processor = output_processor

    def execute(self, context):
        from . import log
        last = carry_out(self.bash_command, self.env, self.skip_on_exit_code, lambda line: log.info("%s", line))
        return self.output_processor(last) if self.output_processor else last


class BashSensor(BaseSensorOperator):
    """Waits until the script ends with 0."""

    template_fields = ("bash_command", "env")

    def __init__(self, *, bash_command, env=None, output_encoding="utf-8", retry_exit_code=None, **kwargs):
        super().__init__(**kwargs)
        self.bash_command, self.env, self.retry_exit_code = bash_command, env, retry_exit_code

    def execute(self, context):
        from . import log
        code = Shell(self.env or {}, lambda line: log.info("%s", line)).run(self.bash_command)
        if self.retry_exit_code is not None and code not in (0, self.retry_exit_code):
            raise TaskFailed(f"the command ended with {code}")
        return sensed(code == 0)


class DecoratedBash(PythonOperator):
    """`@task.bash`: the function returns the script."""

    template_fields = ("op_kwargs", "env")
    is_flat = True

    def __init__(self, *, op_kwargs=None, env=None, append_env=False, skip_on_exit_code=99, cwd=None, output_processor=None,
                 output_encoding="utf-8", **kwargs):
        super().__init__(op_kwargs=op_kwargs, **kwargs)
        self.env, self.skip_on_exit_code, self.output_processor = env, skip_on_exit_code, output_processor

    def execute(self, context):
        from . import log
        from .context import fill_in
        script = fill_in(self.result(context), context)
        last = carry_out(script, self.env, self.skip_on_exit_code, lambda line: log.info("%s", line))
        return self.output_processor(last) if self.output_processor else last

"""What a source file says before it runs: its imports, the names of variables it reads, which interfaces of the host it needs.
It runs nothing, and refuses packages with native code and decorators on lambdas with a place and a sentence."""

import ast

VARIABLES: list = []
"""Names of variables that the files read; filled in by the component's entry."""

INTERFACES = {"storage": "storage", "tracking": "tracking", "models": "models", "secrets": "secrets", "dag_state": "dag-state",
              "http": "http",
              "ObjectStoragePath": "storage"}
"""What a file imports of the SDK, and the interface behind it."""

NATIVE = frozenset("""numpy pandas scipy sklearn torch tensorflow jax xgboost lightgbm polars pyarrow duckdb cv2 PIL lxml psycopg2
psycopg grpc cryptography pydantic_core matplotlib numba cupy onnxruntime tokenizers transformers""".split())
"""Packages with native code, for which there is no WebAssembly build in the registries."""


class Found:
    """What was found in one file or several."""

    def __init__(self):
        self.modules, self.interfaces, self.variables, self.problems = set(), set(), set(), []

    def read(self, path: str, text: str) -> None:
        try:
            tree = ast.parse(text, path)
        except SyntaxError as error:
            self.problems.append(f"{path}:{error.lineno}: {error.msg}")
            return
        _Visitor(self, path).visit(tree)


class _Visitor(ast.NodeVisitor):
    def __init__(self, found: Found, path: str):
        self.found, self.path, self.depth = found, path, 0

    def visit_FunctionDef(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_If(self, node):
        test = node.test
        if getattr(test, "id", getattr(test, "attr", "")) != "TYPE_CHECKING":
            self.generic_visit(node)
        else:
            for one in node.orelse:
                self.visit(one)

    def visit_Try(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    def _module(self, name: str, line: int) -> None:
        self.found.modules.add(name)
        first = name.partition(".")[0]
        if first in NATIVE and self.depth == 0:
            self.found.problems.append(
                f"{self.path}:{line}: {first} has native code, which a sandboxed component cannot load; "
                "let an operator of the host do that work (datasets, training), or write it in plain Python")

    def visit_Import(self, node):
        for one in node.names:
            self._module(one.name, node.lineno)
            self._interface(one.name.rpartition(".")[2], one.name)

    def visit_ImportFrom(self, node):
        if node.level == 0 and node.module:
            self._module(node.module, node.lineno)
            for one in node.names:
                self._interface(one.name, node.module)

    def _interface(self, name: str, module: str) -> None:
        if module.startswith(("airlock_sdk", "airflow")) and name in INTERFACES:
            self.found.interfaces.add(INTERFACES[name])

    def visit_Call(self, node):
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr == "get" and isinstance(function.value, ast.Name) \
                and function.value.id == "Variable" and node.args and isinstance(node.args[0], ast.Constant):
            self.found.variables.add(str(node.args[0].value))
        on_lambda = any(isinstance(argument, ast.Lambda) for argument in node.args[:1])
        if on_lambda and _dotted(function).split(".")[0] in ("dag", "task", "operator", "task_group", "setup", "teardown"):
            self.found.problems.append(f"{self.path}:{node.lineno}: {_dotted(function)} stands on a lambda, which has no name; write `def`")
        self.generic_visit(node)


def _dotted(node) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return getattr(node, "id", "")

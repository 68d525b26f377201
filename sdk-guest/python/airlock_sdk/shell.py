"""A few commands of a shell, inside the sandbox: echo, printf, sleep, date, exit, test, true, false, cd, export, set, with quotes,
variables, `;`, `&&`, `||` and `if`. There are no other programs and no files here: what a script needs besides fails with a sentence."""

import re
import shlex
import time

from .errors import FailTask

_NAME = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+|\?))")


class Exit(Exception):
    """The script ended with `code`."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code


def words_of(script: str) -> list:
    """The script's words, operators and line ends, quotes still on."""
    lexer = shlex.shlex(script.replace("\\\n", " "), posix=False, punctuation_chars=";&|\n<>()")
    lexer.whitespace = " \t\r"
    lexer.commenters = ""
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError as error:
        raise FailTask(f"the sandbox's shell cannot read the script: {error}") from None


class Shell:
    """Runs one script. `write` takes each line of its output."""

    def __init__(self, env: dict, write):
        self.env, self.write, self.lines, self.status = dict(env), write, [], 0

    def run(self, script: str) -> int:
        """The exit code."""
        lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
        try:
            self._list(words_of("\n".join(lines)))
        except Exit as end:
            return end.code
        return self.status

    def _list(self, words: list) -> None:
        command, joint = [], ";"
        for word in [*words, ";"]:
            if word.strip("\n") in (";", "", "&&", "||") or set(word) <= {";", "\n"}:
                if command:
                    runs = joint == ";" or (joint == "&&") == (self.status == 0)
                    if runs:
                        self._command(command)
                    command = []
                    joint = word if word in ("&&", "||") else ";"
                elif word in ("&&", "||"):
                    raise FailTask(f"the sandbox's shell cannot read {word!r} here")
            elif word in ("|", "&", "(", ")", "<", ">>") or word.startswith(("<", "|")):
                raise FailTask(f"the sandbox's shell has no {word!r}; {_INSTEAD}")
            else:
                command.append(word)

    def _command(self, words: list) -> None:
        arguments = self._arguments(words)
        while arguments and _NAME.fullmatch(arguments[0]) and not words[0].startswith(("'", '"')):
            name, value = _NAME.fullmatch(arguments.pop(0)).groups()
            self.env[name] = value
        if not arguments:
            self.status = 0
            return
        command = getattr(self, "_do_" + {"[": "test", ":": "true"}.get(arguments[0], arguments[0]), None)
        if command is None:
            raise FailTask(f"the sandbox's shell has no command {arguments[0]!r}; {_INSTEAD}")
        self.status = command(arguments[1:]) or 0

    def _arguments(self, words: list) -> list:
        out, skip = [], False
        for at, word in enumerate(words):
            if skip:
                skip = False
                continue
            if word == ">":
                # Only the two streams of the task's log and nothing at all can be written to.
                target = words[at + 1] if at + 1 < len(words) else ""
                if target not in ("/dev/null", "&", "/dev/stderr"):
                    raise FailTask(f"the sandbox's shell writes no files ({target!r}); {_INSTEAD}")
                skip = True
                continue
            out.append(self._expand(word))
        return out

    def _expand(self, word: str) -> str:
        if "$(" in word or "`" in word:
            raise FailTask(f"the sandbox's shell has no command substitution; {_INSTEAD}")
        parts = re.findall(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|[^'\"]+", word)
        out = ""
        for part in parts:
            if part.startswith("'"):
                out += part[1:-1]
            elif part.startswith('"'):
                out += self._variables(re.sub(r"\\([\"\\$`])", r"\1", part[1:-1]))
            else:
                out += self._variables(part.replace("\\", ""))
        return out

    def _variables(self, text: str) -> str:
        def value(match):
            name = match.group(1) or match.group(3)
            return str(self.status) if name == "?" else self.env.get(name) or match.group(2) or ""
        return _VARIABLE.sub(value, text)

    def _say(self, text: str) -> None:
        for line in text.splitlines() or [""]:
            self.lines.append(line)
            self.write(line)

    def _do_echo(self, arguments):
        while arguments and arguments[0] in ("-n", "-e"):
            arguments = arguments[1:]
        self._say(" ".join(arguments))

    def _do_printf(self, arguments):
        form, values = arguments[0].replace("\\n", "\n").replace("\\t", "\t"), tuple(arguments[1:])
        self._say(form % values[:form.count("%s") + form.count("%d")] if "%" in form else form)

    def _do_sleep(self, arguments):
        units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
        text = arguments[0]
        factor = units.get(text[-1:], 1)
        time.sleep(float(text.rstrip("smhd")) * factor)

    def _do_date(self, arguments):
        form = arguments[0][1:] if arguments and arguments[0].startswith("+") else "%a %b %d %H:%M:%S UTC %Y"
        self._say(time.strftime(form, time.gmtime(time.time())))

    def _do_exit(self, arguments):
        raise Exit(int(arguments[0]) if arguments else self.status)

    def _do_export(self, arguments):
        for one in arguments:
            match = _NAME.fullmatch(one)
            if match:
                self.env[match.group(1)] = match.group(2)

    def _do_true(self, _):
        return 0

    def _do_false(self, _):
        return 1

    _do_set = _do_cd = _do_true

    def _do_pwd(self, _):
        self._say("/")

    def _do_env(self, _):
        for name in sorted(self.env):
            self._say(f"{name}={self.env[name]}")

    def _do_test(self, arguments):
        words = [one for one in arguments if one != "]"]
        if len(words) == 3:
            left, how, right = words
            numbers = {"-eq": "==", "-ne": "!=", "-lt": "<", "-gt": ">", "-le": "<=", "-ge": ">="}
            if how in numbers:
                left, right = int(left), int(right)
                holds = {"==": left == right, "!=": left != right, "<": left < right, ">": left > right,
                         "<=": left <= right, ">=": left >= right}[numbers[how]]
            else:
                holds = (left == right) == (how in ("=", "=="))
            return 0 if holds else 1
        if len(words) == 2 and words[0] in ("-n", "-z"):
            return 0 if bool(words[1]) == (words[0] == "-n") else 1
        raise FailTask(f"the sandbox's shell cannot test {' '.join(arguments)!r}")


_INSTEAD = "run real programs with the host's operators wasi-command or native.command"

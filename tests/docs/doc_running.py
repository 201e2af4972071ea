"""Runs the blocks of a page one after the other in its sandbox, as a reader would, but in this very process."""

import contextlib
import glob
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import doc_sandbox
from doc_blocks import command_lines, commands_of
from doc_checks import reason_not_to_run
from doc_tables import ALTERNATIVES, ENDS_WITH, GIVEN, MADE_ANEW, MEANT, PLACES, PYTHON_NOT_RUN, SHOWS_OUTPUT

from einthoven.cli import main


class Reader:
    """Someone who follows a page: a working directory, and the names that its Python blocks have defined."""

    def __init__(self, page, base, folder):
        self.page, self.base, self.folder = page, base, folder
        self.names = {"__name__": "__main__"}
        self.enter(folder)
        self.given = GIVEN.get(page, "")

    def enter(self, folder):
        doc_sandbox.copy(self.base, folder)
        os.chdir(folder)
        for name, place in PLACES.get(self.page, {}).items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            if not Path(name).exists():
                Path(name).symlink_to(Path(place).resolve(), target_is_directory=True)

    def follow(self, block):
        """Run a block.

        Raises:
            AssertionError: a command ended otherwise than it should, or does not print what is shown below it.
        """
        if block.kind == "python" and (block.page, block.first) not in PYTHON_NOT_RUN:
            self.execute(block)
        elif block.kind in ("shell", "session"):
            self.call_all(block)
        elif block.kind == "yaml" and (name := re.match(r"# ([\w.-]+\.yaml)\n", block.text)):
            Path(name[1]).write_text(doc_sandbox.smaller(block.text))  # a block that says what file it is

    def execute(self, block):
        if self.given:
            exec(compile(self.given, f"given for {self.page}", "exec"), self.names)  # noqa: S102
            self.given = ""
        lines = "\n" * (block.line - 1)  # so that a traceback names the line of the page
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(lines + doc_sandbox.smaller(block.text), block.page, "exec"), self.names)  # noqa: S102

    def call_all(self, block):
        printed, failed = "", []
        alternatives = (block.page, str(commands_of(block)[0])) in ALTERNATIVES
        for k, command in enumerate(commands_of(block)):
            if reason_not_to_run(command):
                continue
            if alternatives and command.follows != "&&":
                self.enter(self.folder / f"alternative-{block.line}-{k}")
            try:
                printed += self.call(command)
            except AssertionError as error:  # the next commands are tried too
                failed.append(str(error))
        assert not failed, "\n".join(failed)
        if alternatives:
            os.chdir(self.folder)
        if SHOWS_OUTPUT.get((block.page, block.first)) == "exact":
            for line in command_lines(block)[1]:
                pattern = re.escape(line.rstrip()).replace(r"\.\.\.", ".*")
                assert re.search(f"^{pattern}$", printed, re.M), f"{block}: not printed: {line}\n{printed}"

    def call(self, command):
        for pattern, made in MADE_ANEW:
            if re.fullmatch(pattern, str(command)):
                shutil.rmtree(made, ignore_errors=True)
        text = doc_sandbox.smaller(shlex.join(command.words))
        words = [place for word in shlex.split(text) for place in self.places(str(command), word)]
        if words[0] == "cd":
            os.chdir(words[1])
            return ""
        code, printed = call_einthoven(words) if words[0] == "einthoven" else call_program(words)
        wanted = next((code for pattern, code in ENDS_WITH if re.fullmatch(pattern, str(command))), 0)
        assert code == wanted, f"{command.block}: {' '.join(words)}: ended with {code}\n{printed[-1500:]}"
        if command.into:
            Path(command.into).write_text(printed)
        return printed

    def places(self, command, word):
        for pattern, name, instead in MEANT:
            if name == word and re.fullmatch(pattern, command):
                word = instead
        return sorted(glob.glob(word)) or [word] if re.search(r"[*?]", word) and "/" in word else [word]


def call_einthoven(words):
    """Call the command line in this process: torch is loaded once, not a hundred times."""
    printed, arguments = io.StringIO(), sys.argv
    sys.argv = words
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            main.run()
    except SystemExit as end:
        return int(end.code or 0), printed.getvalue()
    finally:
        sys.argv = arguments
    return 0, printed.getvalue()


def call_program(words):
    """Any other program, which must be here."""
    program = sys.executable if words[0] == "python" else shutil.which(words[0])
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr

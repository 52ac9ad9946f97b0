"""How a command ends, whether started as `palate NAME` or by spark-submit: a message and an exit code, no traceback.

0 is success, 2 bad input (or what a PalateError's `exit_code` says), 130 an interruption. A bug shows its traceback.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import click

from palate.errors import PalateError


def run(
    command: click.Command,
    arguments: Sequence[str] | None,
    name: str,
    explain: Callable[[Exception], PalateError | None] = lambda error: None,
) -> None:
    """Runs the command; returns if all went well, exits otherwise.

    explain: turns an error of another library into one of ours, where it can.
    """
    try:
        # Outside its standalone mode click gives back the code of ctx.exit(); commands themselves return nothing.
        code = command.main(arguments, prog_name=name, standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        _end("Stopped.", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read the output, `head` say, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may Python's last flush complain
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        told = error if isinstance(error, PalateError) else explain(error)
        if told is not None:
            _end(f"Error: {told}", told.exit_code)
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            _end(f"Error: {str(error.filename)[:80]}...: the name is too long for a file.", 2)
        raise
    if isinstance(code, int) and code:
        sys.exit(code)


def _end(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)

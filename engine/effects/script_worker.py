"""The program of a process that runs scripts, one after the other, and nothing else; see `script_processes`.

QuickJS looks at its time limit between two steps of a script, but not inside of one: a regular expression that
backtracks, or `indexOf` over an object that says to be long, goes on for years. So the process has an alarm of its
own, which the system rings: the script's processor time and a little more, and the process is gone.

It imports as little as it can, to be there at once. A request is a header and four texts in UTF-8; the answer is one
letter (below), the length of a text, and the text.
"""

import signal
import struct
import sys
from typing import Any, BinaryIO, Final

import quickjs

REQUEST: Final = struct.Struct("<dQIIII")
"""Seconds, bytes of memory, and the lengths of prelude, document, source and fields."""
ANSWER: Final = struct.Struct("<cI")

OUTCOME: Final = b"O"
"""What the script gave, set and assigned, as JSON."""
THROWN: Final = b"T"
"""A thrown value that starts with the tag of BPMN errors, in a line, and below it the outcome up to there."""
FAILED: Final = b"F"
"""The error's text."""
NO_TEXT: Final = b"S"
"""The outcome has half of a surrogate pair in it."""

TAG: Final = "\x01"
_GRACE_SECONDS: Final = 0.25


def run(seconds: float, memory: int, prelude: str, document: str, source: str, fields: str) -> tuple[bytes, str]:
    """Run one script in a fresh context: how it ended, and the text that belongs to it."""
    context = quickjs.Context()
    context.set_memory_limit(memory)
    context.set_time_limit(seconds)
    finish: Any = None
    try:
        finish = context.eval(prelude)(document)
        value = context.eval(source)
        return OUTCOME, finish(value, _declared(context, fields)) or ""
    except quickjs.JSException as error:
        text = str(error)
        if text.startswith(TAG) and finish is not None:
            return THROWN, text.partition("\n")[0] + "\n" + (finish() or "")
        return FAILED, text
    except UnicodeError:
        return NO_TEXT, ""


def _declared(context: Any, fields: str) -> Any:
    if not fields:
        return None
    try:
        return context.eval(fields)
    except quickjs.JSException:
        # A name in a string or a comment that is a reserved word: then the names one by one are not worth the time.
        return None


def _answer(requests: BinaryIO, header: bytes) -> tuple[bytes, bytes]:
    seconds, memory, *lengths = REQUEST.unpack(header)
    texts = [requests.read(length).decode() for length in lengths]
    signal.setitimer(signal.ITIMER_PROF, seconds + _GRACE_SECONDS)
    try:
        kind, text = run(seconds, memory, *texts)
        return kind, text.encode()
    except quickjs.JSException as error:
        return FAILED, str(error).encode()
    except UnicodeError:
        return NO_TEXT, b""
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Serve requests until there are no more: the one who asked has closed the pipe, or is no longer there."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    # A whole group is told to end by these, while the engine still finishes what is under way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(header := requests.read(REQUEST.size)) == REQUEST.size:
        kind, text = _answer(requests, header)
        answers.write(ANSWER.pack(kind, len(text)) + text)
        answers.flush()


if __name__ == "__main__":
    main()

"""Renders templates in a process of its own, which may use so much time of the processor and no more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from mesh.errors import Unavailable
from notify.app.ports import TemplateFailed, Texts
from notify.effects import template_worker
from notify.model.records import Facts, Template
from notify.settings import TemplateSettings

_PROGRAM: Final = Path(template_worker.__file__)
# It has nothing of ours: no variable beside those by which programs are found.
_KEPT_VARIABLES: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
WALL_SECONDS: Final = 20.0
WALL_FACTOR: Final = 10.0
"""How long an answer may take by the clock on the wall: so many seconds, and so many times those of the processor.

It may have to import Jinja2 first, on a machine that is busy.
"""
GRACE_SECONDS: Final = 1.0


class TemplateProcess:
    """A `Renderer`: one process, one message at a time."""

    def __init__(self, settings: TemplateSettings) -> None:
        """Nothing is started yet."""
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def render(self, template: Template, context: Facts) -> Texts:
        """Render. Raises TemplateFailed, Unavailable if the process cannot be started, dies or is far too late."""
        found = await self._ask("render", template, context)
        texts = found["texts"]
        return Texts(subject=texts["subject"], text=texts["text"], html=texts.get("html", ""))

    async def check(self, template: Template) -> None:
        """Raise TemplateFailed unless the texts are templates, Unavailable as `render`."""
        await self._ask("check", template, {})

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def _ask(self, op: str, template: Template, context: Facts) -> dict[str, Any]:
        templates = {"subject": template.subject, "text": template.text}
        if template.html:
            templates["html"] = template.html
        request = {
            "op": op,
            "templates": templates,
            "context": context,
            "characters": self._settings.output_characters,
            "seconds": self._settings.render_seconds,
        }
        body = msgspec.json.encode(request)
        async with self._turn:
            answer = await self._exchange(template_worker.LENGTH.pack(len(body)) + body)
        if "error" in answer:
            raise TemplateFailed(answer["error"])
        return answer

    async def _exchange(self, request: bytes) -> dict[str, Any]:
        seconds = self._settings.render_seconds
        try:
            if self._process is None or self._process.returncode is not None:
                self._process = await self._start()
            async with asyncio.timeout(WALL_SECONDS + WALL_FACTOR * seconds):
                return await self._say(request)
        except TimeoutError as error:
            await self._end()
            raise _away("answered too late") from error
        except (BrokenPipeError, ConnectionResetError, asyncio.IncompleteReadError) as error:
            code = await self._end()
            if code == -signal.SIGPROF:
                message = f"expected it to be rendered in {seconds:g} s of the processor (setting: render_seconds)"
                raise TemplateFailed(f"{message}, found it was not") from error
            raise _away(f"ended with code {code}") from error
        except BaseException:
            # A cancelled exchange leaves an answer in the pipe that belongs to nobody.
            await self._end()
            raise

    async def _say(self, request: bytes) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None, "both are pipes"
        process.stdin.write(request)
        await process.stdin.drain()
        header = await process.stdout.readexactly(template_worker.LENGTH.size)
        body = await process.stdout.readexactly(template_worker.LENGTH.unpack(header)[0])
        found: dict[str, Any] = msgspec.json.decode(body)
        return found

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder of the program is no place to import from
                str(_PROGRAM),
                str(self._settings.render_memory_bytes),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
            )
        except OSError as error:
            message = f"expected to start the process that renders templates, found: {error}"
            raise Unavailable("renderer-away", message) from error

    async def _end(self) -> int:
        """End the process, if it has not ended itself; returns how it ended."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            # One whose pipe broke is about to end by itself, and says by which signal.
            async with asyncio.timeout(GRACE_SECONDS):
                return await process.wait()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


def _away(what: str) -> Unavailable:
    return Unavailable("renderer-away", f"expected the process that renders templates to answer, found that it {what}")

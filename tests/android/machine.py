"""A machine within this one: namespaces of its own, a daemon that serves it, and everything that can befall both."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from tests.android.system_files import SystemFiles

HERE = Path(__file__).resolve().parent
PLACE = HERE.parent.parent / ".devices"
"""What `install.sh` unpacked, and the empty folder `root` that each machine mounts its own files on."""


class Missing(Exception):
    """A part that the machine needs is not on this system; the message names it."""


def need(*names: str) -> None:
    """Raise Missing unless all of these programs, or files of `.devices`, are there; ``a or b`` means one of both."""

    def there(name: str) -> bool:
        return shutil.which(name) is not None or (PLACE / name).exists()

    absent = [name for name in names if not any(map(there, name.split(" or ")))]
    if absent:
        raise Missing(f"{', '.join(absent)} not found; tests/android/install.sh brings it")


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Look again and again, until it is so."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"after {timeout_s:g} s, still not: {what}")
        time.sleep(0.01)


class Machine(SystemFiles):
    """Starts `script` as process 1 of new namespaces; they end, with all that runs there, when this process does."""

    environment: dict[str, str]
    """What plain ``adb`` or ``ssh`` needs to reach it."""
    home: Path
    """The folder, as this machine sees it, that is emptied after each test."""
    disk: str
    """The folder, as the namespaces see it, that `small_disk` makes small."""

    def __init__(self, script: str, arguments: tuple[str, ...], *more_namespaces: str) -> None:
        self._namespaces = [f"--{name}" for name in ("user", "mount", "pid", *more_namespaces)]
        with_us = ["setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--kill-child", *self._namespaces]
        self._unshare = subprocess.Popen(
            [*with_us, "--map-root-user", "--mount-proc", str(HERE / script), str(PLACE), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._unshare.stdout and self._unshare.stderr
        if self._unshare.stdout.readline() != "ready\n":
            self._unshare.kill()
            raise Missing(f"no namespaces of our own are allowed here: {self._unshare.communicate()[1].strip()}")
        self.pid = psutil.Process(self._unshare.pid).children()[0].pid
        self.kept = {self.pid}
        """Processes that a test never sees."""
        self._namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        self.inside = Path(f"/proc/{self.pid}/root")
        """The whole file system of the namespaces; its `PLACE`/root is what this machine mounted."""

    def close(self) -> None:
        """End the machine and everything on it."""
        self._unshare.communicate()

    def enter(self, *arguments: str) -> list[str]:
        """The command that runs a command on the machine, without its daemon."""
        return ["nsenter", f"--target={self.pid}", *self._namespaces, "--preserve-credentials", "--", *arguments]

    def spawn(self, log: Path, *arguments: str) -> None:
        """Start a command on the machine and leave it running."""
        with log.open("ab") as stream:
            # a child of process 1: nsenter, were it the parent, would stop when the command is stopped
            command = self.enter("setsid", "--fork", *arguments)
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=True)

    def _running(self, daemon: bool) -> Iterator[tuple[psutil.Process, list[str]]]:
        """The processes of the daemon, or those of everything else, with their command lines."""
        for process in psutil.process_iter():
            with suppress(OSError, psutil.Error):
                if Path(f"/proc/{process.pid}/ns/pid").readlink() == self._namespace and process.pid not in self.kept:
                    words = process.cmdline()
                    if words and self.is_daemon(words) == daemon:  # a process that ended has none
                        yield process, words

    @abstractmethod
    def is_daemon(self, command: list[str]) -> bool:
        """Whether a process is part of what serves the machine."""

    @abstractmethod
    def start(self) -> None:
        """Start the daemon, if it does not run, and return when it answers."""

    def daemons(self) -> list[psutil.Process]:
        return [process for process, _ in self._running(daemon=True)]

    def programs(self) -> list[psutil.Process]:
        return [process for process, _ in self._running(daemon=False)]

    def processes(self) -> list[str]:
        """The command lines of what runs on the machine, its daemon and the emulator's name aside."""
        commands = (words for _, words in self._running(daemon=False))
        return [" ".join(words[Path(words[0]).name.startswith("qemu-") :]) for words in commands]

    def kill(self) -> None:
        """The daemon is gone from one moment to the next, and with it every connection; programs may run on."""
        self._signal(signal.SIGKILL)
        wait_until(lambda: not self.daemons(), "the daemon ended")

    def stop(self) -> None:
        """The daemon hangs: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The daemon goes on where it hung."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in self.daemons():
            with suppress(psutil.Error):
                process.send_signal(number)

    def small_disk(self, size_bytes: int) -> None:
        """The folder that hwnas keeps its files in is a file system of this size, empty, until the test ends."""
        self.do("mkdir", "-p", self.disk)
        self.do("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", self.disk)

    def do(self, *arguments: str) -> None:
        """Run a program of this machine in the namespaces, with more rights than a user of the machine has."""
        subprocess.run(self.enter(*arguments), check=True, capture_output=True)

    def reset(self) -> None:
        """As it was at first, whatever a test did."""
        self.resume()
        self.end_programs()
        with suppress(subprocess.CalledProcessError):
            while True:
                self.do("umount", self.disk)
        for left in self.home.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        for folder in self.sys.iterdir():
            shutil.rmtree(folder)
        self.calm()
        self.start()

    def end_programs(self) -> None:
        """Whatever a test left running."""
        for process in self.programs():
            with suppress(psutil.Error):
                process.kill()

"""A Linux board without the board: a real sshd on loopback, for an ordinary user with a home of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

from tests.android.machine import PLACE, Machine, need, wait_until

SSHD = PLACE / "sshd/usr/sbin/sshd"
SESSION = PLACE / "sshd/usr/lib/openssh/sshd-session"
AUTHENTICATION = PLACE / "sshd/usr/lib/openssh/sshd-auth"


class Board(Machine):
    """A board in the network; `environment` puts an ``ssh`` and an ``scp`` first on PATH that know it as `host`."""

    host = "board"

    def __init__(self) -> None:
        need("ssh", "scp", "ssh-keygen", "sshd/.whole", "unshare", "nsenter", "setpriv")
        super().__init__("board.sh", ())
        self._own_there = PLACE / "root"
        self._own = self.inside / self._own_there.relative_to("/")
        self.root, self.sys = self.inside, self.inside / "sys"
        self.home = self._own / "home"
        self.folder = self.disk = str(self._own_there / "home/hwnas")
        with socket.socket() as any_port:
            any_port.bind(("127.0.0.1", 0))
            self.port = any_port.getsockname()[1]
        self._configure()
        self.environment = {"PATH": f"{self._own}/bin:{os.environ['PATH']}"}
        self.calm()
        self.start()

    def _configure(self) -> None:
        server = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self._own_there / "host_key",
            "AuthorizedKeysFile": self._own_there / "key.pub",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PidFile": "none",
            "Subsystem": "sftp internal-sftp",
        }
        if SESSION.exists():  # since OpenSSH 9.8 a session is a program of its own
            server["SshdSessionPath"] = SESSION
        if AUTHENTICATION.exists():
            server["SshdAuthPath"] = AUTHENTICATION
        client = {
            "Host": self.host,
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": "pi",
            "IdentityFile": self._own / "key",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self._own / "known_hosts",
            "LogLevel": "ERROR",
        }
        host_key = (self._own / "host_key.pub").read_text()
        (self._own / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        for name, settings in (("sshd_config", server), ("ssh_config", client)):
            (self._own / name).write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        for name in ("ssh", "scp"):
            program = self._own / "bin" / name
            program.write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {self._own}/ssh_config "$@"\n')
            program.chmod(0o755)

    def start(self) -> None:
        if not self.daemons():
            self.spawn(
                self._own / "sshd.log",
                *("env", f"LD_LIBRARY_PATH={':'.join(map(str, (PLACE / 'sshd/usr/lib').glob('*-linux-*')))}"),
                *("unshare", "--user", "--map-user=1000", "--map-group=1000"),
                *(str(SSHD), "-D", "-e", "-f", str(self._own_there / "sshd_config")),
            )
        wait_until(lambda: self.ssh("true").returncode == 0, "sshd answers ssh")

    def ssh(self, *arguments: str, timeout_s: float = 20.0) -> subprocess.CompletedProcess[str]:
        """What the real ssh answers to a command."""
        return subprocess.run(
            ["ssh", self.host, *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def is_daemon(self, command: list[str]) -> bool:
        return command[0].startswith(("sshd:", "sshd-", str(SSHD), str(SESSION)))

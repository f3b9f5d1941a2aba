"""Authorities and certificates for tests, made with the `openssl` command."""

from __future__ import annotations

import pathlib
import subprocess
from typing import NamedTuple

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = ("-days", "2")


class Certificate(NamedTuple):
    """PEM files."""

    cert: str
    key: str

    def together(self) -> str:
        """One file with both, as ZooKeeper wants its key store."""
        path = pathlib.Path(self.cert).with_suffix(".both.pem")
        parts = (pathlib.Path(part).read_text("ascii") for part in (self.key, self.cert))
        path.write_text("".join(parts), "ascii")
        return str(path)


class Authority:
    """An authority of one's own in `folder`; `ca` is the file that trusts it."""

    def __init__(self, folder: pathlib.Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self._key = str(folder / f"{name}.key")
        self.ca = str(folder / f"{name}.pem")
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        about = ("-subj", f"/CN={name}", *_DAYS)
        _openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.ca, *about, *usage)

    def issue(self, name: str, *addresses: str) -> Certificate:
        """A certificate for `addresses`, such as "IP:127.0.0.1" or "DNS:localhost"."""
        base = self._folder / f"{self._name}-{name}"
        request, extensions = f"{base}.csr", pathlib.Path(f"{base}.ext")
        issued = Certificate(f"{base}.pem", f"{base}.key")
        _openssl("req", *_KEY, "-keyout", issued.key, "-out", request, "-subj", f"/CN={name}")
        lines = ["basicConstraints=CA:FALSE", "authorityKeyIdentifier=keyid"]
        lines += [f"subjectAltName={','.join(addresses)}"] if addresses else []
        extensions.write_text("\n".join(lines) + "\n", "ascii")
        signer = ("-CA", self.ca, "-CAkey", self._key, "-CAcreateserial")
        extra = ("-extfile", str(extensions))
        _openssl("x509", "-req", "-in", request, "-out", issued.cert, *signer, *_DAYS, *extra)
        return issued


def _openssl(*arguments: str) -> None:
    made = subprocess.run(["openssl", *arguments], capture_output=True, check=False, timeout=30)
    assert made.returncode == 0, made.stderr.decode()

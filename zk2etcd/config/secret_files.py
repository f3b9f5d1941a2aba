"""What `*_file` keys and TLS keys point to, read at each load so that workers need not.

A secret's content goes into the field itself; the content of TLS files is only digested, so that
a renewed certificate makes the reloaded configuration differ.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pydantic

from zk2etcd.config import connections, faults, files, model_walk, models

_LONGEST_SECRET = 64 * 1024
_LONGEST_PEM = 1024 * 1024
Fault = tuple[faults.Path, str]


class Files:
    """One load: the files read, by the path of their key."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._digests: dict[faults.Path, str] = {}

    @property
    def sha256(self) -> str:
        """Of the content of all files; of no use to tell what a secret is, but never shown."""
        text = "".join(f"{path}{digest}\n" for path, digest in sorted(self._digests.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, data: Any, model: type[pydantic.BaseModel], path: faults.Path = ()) -> None:
        """Fill in `data`, which may still be wrong in any way, from the files that it names."""
        if not isinstance(data, dict):
            return
        for key, shape in model_walk.shapes(model).items():
            if f"{key}_file" in model_walk.keyed(model):
                self._secret(data, key, path)
            elif shape.model is not None and shape.items and isinstance(data.get(key), list):
                for place, item in enumerate(data[key]):
                    self.read(item, shape.model, (*path, key, place))
            elif shape.model is not None:
                self.read(data.get(key), shape.model, (*path, key))
            elif issubclass(model, connections.TlsFiles) and isinstance(data.get(key), str):
                self._pem(data[key], (*path, key))

    def with_digests(self, loaded: models.Config) -> models.Config:
        """The configuration with the digests of its TLS files in it."""
        for section in ("zookeeper", "etcd"):
            tls = getattr(loaded, section).tls
            found = "".join(
                self._digests.get((section, "tls", key), "") for key in ("ca", "cert", "key")
            )
            if tls is not None and found:
                updated = getattr(loaded, section).model_copy(
                    update={"tls": tls.with_digest(hashlib.sha256(found.encode()).hexdigest())}
                )
                loaded = loaded.model_copy(update={section: updated})
        return loaded

    def _secret(self, data: dict[str, Any], key: str, path: faults.Path) -> None:
        name = data.get(f"{key}_file")
        here = (*path, f"{key}_file")
        if name is None:
            return
        if data.get(key) is not None:
            self.faults.append((here, f"is set beside {key}; keep one of the two"))
        elif isinstance(name, str):
            content = self._content(name, here, _LONGEST_SECRET)
            if content is not None:
                data[key] = self._decoded(content, here)

    def _decoded(self, content: bytes, path: faults.Path) -> str | None:
        try:
            text = content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            self.faults.append((path, "points to a file that is not UTF-8"))
            return None
        if not text.strip():
            self.faults.append((path, "points to an empty file; write the secret into it"))
            return None
        return text

    def _pem(self, name: str, path: faults.Path) -> None:
        content = self._content(name, path, _LONGEST_PEM)
        if content is not None and files.is_encrypted(content):
            self.faults.append((path, f"points to {files.ENCRYPTED}"))

    def _content(self, name: str, path: faults.Path, limit: int) -> bytes | None:
        try:
            content = files.read(name, limit)
        except ValueError as error:
            what = f"points to a file that {error}; name a file that this user can read"
            self.faults.append((path, what))
            return None
        self._digests[path] = hashlib.sha256(content).hexdigest()
        return content

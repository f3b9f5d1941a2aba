from __future__ import annotations

from zk2etcd.config import models, schema


def test_schema_writes_defaults_as_a_file_does_and_names_every_section() -> None:
    plain = schema.schema()
    defs = plain["$defs"]
    assert defs["Etcd"]["properties"]["request_timeout"]["default"] == "5s"
    assert defs["Etcd"]["properties"]["txn_bytes"]["default"] == "512KiB"
    assert "from" in defs["Prefix"]["properties"]
    assert set(plain["properties"]) == set(models.Config.model_fields)
    items = defs["Sync"]["properties"]["prefixes"]["items"]
    assert {"type": "string", "pattern": "^/"} in items["anyOf"]

"""A Greengrass root on disk is as an installation leaves it, for both nuclei."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.nucleus.root_layout import CoreIdentity, RootLayout, lay_out_classic, lay_out_lite

LayOut = Callable[[Path, CoreIdentity], RootLayout]


@pytest.fixture
def identity() -> CoreIdentity:
    return CoreIdentity(
        thing_name="press-7",
        certificate_pem="-----BEGIN CERTIFICATE-----\n",
        private_key_pem="-----BEGIN RSA PRIVATE KEY-----\nmarker\n",
        root_ca_pem="-----BEGIN CERTIFICATE-----\nroot\n",
        region="eu-central-1",
        data_endpoint="localhost",
        credential_endpoint="localhost",
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def replayed(tlog: Path) -> dict[str, Any]:
    """The configuration that a transaction log leaves behind, by dotted lower-case path."""
    values: dict[str, tuple[int, Any]] = {}
    for line in tlog.read_text().splitlines():
        entry = json.loads(line)
        path = ".".join(entry["TP"]).lower()
        if entry["W"] == "changed" and entry["TS"] >= values.get(path, (0, None))[0]:
            values[path] = (entry["TS"], entry["V"])
    return {path: value for path, (_, value) in values.items()}


def stored(database: Path) -> dict[str, Any]:
    """Every value in lite's database, by dotted path."""
    with closing(sqlite3.connect(database)) as connection:
        keys = dict(connection.execute("SELECT keyid, keyvalue FROM keyTable"))
        parents = dict(connection.execute("SELECT keyid, parentid FROM relationTable"))
        values = dict(connection.execute("SELECT keyid, value FROM valueTable"))

    def path(key: int) -> str:
        return f"{path(parents[key])}.{keys[key]}" if key in parents else str(keys[key])

    return {path(key): json.loads(value) for key, value in values.items()}


def test_classic_folders_have_the_modes_of_the_nucleus(
    tmp_path: Path, identity: CoreIdentity
) -> None:
    """What the nucleus keeps to root is closed to others, whatever the umask."""
    before = os.umask(0)
    try:
        layout = lay_out_classic(tmp_path / "v2", identity)
        layout.work_path("com.example.Watcher")
    finally:
        os.umask(before)
    closed = ["alts", "config", "deployments", "logs", "plugins", "telemetry", "packages/recipes"]
    for name in [*closed, "work/com.example.Watcher"]:
        assert mode(layout.root / name) == 0o700, name
    for name in ["", "work", "packages", "packages/artifacts", "packages/artifacts-unarchived"]:
        assert mode(layout.root / name) == 0o755, name


@pytest.mark.parametrize("lay_out", [lay_out_classic, lay_out_lite])
def test_the_private_key_is_the_owners_alone(
    tmp_path: Path, identity: CoreIdentity, lay_out: LayOut
) -> None:
    """The key file is 0600 even under an open umask, and holds what was given."""
    before = os.umask(0)
    try:
        layout = lay_out(tmp_path / "root", identity)
    finally:
        os.umask(before)
    assert mode(layout.private_key_path) == 0o600
    assert layout.private_key_path.read_text() == identity.private_key_pem
    assert layout.certificate_path.read_text() == identity.certificate_pem
    assert layout.root_ca_path.read_text() == identity.root_ca_pem


def test_the_private_key_is_closed_from_birth(
    tmp_path: Path, identity: CoreIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is created with its mode: there is no instant at which others could open it."""
    born: dict[str, int] = {}
    real_open = os.open

    def spied(path: str | Path, flags: int, mode: int = 0o777) -> int:
        born[Path(path).name] = mode if flags & os.O_CREAT else -1
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", spied)
    lay_out_classic(tmp_path / "v2", identity)
    assert born["privKey.key"] == 0o600


def test_classic_paths_are_in_the_transaction_log_and_in_the_effective_configuration(
    tmp_path: Path, identity: CoreIdentity
) -> None:
    """After automatic provisioning both files say the same."""
    layout = lay_out_classic(
        tmp_path / "v2",
        identity,
        nucleus_configuration={"interpolateComponentConfiguration": True},
        services={"com.example.Watcher": {"configuration": {"interval": 60}, "version": "1.0.0"}},
    )
    values = replayed(layout.root / "config" / "config.tlog")
    assert values["system.certificatefilepath"] == str(layout.root / "thingCert.crt")
    assert values["system.privatekeypath"] == str(layout.root / "privKey.key")
    assert values["system.rootcapath"] == str(layout.root / "rootCA.pem")
    assert values["system.rootpath"] == str(layout.root)
    assert values["system.thingname"] == "press-7"
    nucleus = "services.aws.greengrass.nucleus.configuration"
    assert values[f"{nucleus}.awsregion"] == "eu-central-1"
    assert values[f"{nucleus}.interpolatecomponentconfiguration"] is True
    assert values["services.com.example.watcher.configuration.interval"] == 60
    effective = yaml.safe_load((layout.root / "config" / "effectiveConfig.yaml").read_text())
    assert effective["system"]["certificateFilePath"] == str(layout.certificate_path)
    assert effective["services"]["com.example.Watcher"]["configuration"] == {"interval": 60}


def test_transaction_log_lines_have_the_nucleus_form(
    tmp_path: Path, identity: CoreIdentity
) -> None:
    """One compact JSON object a line: TS, TP, W and V, in this order."""
    layout = lay_out_classic(tmp_path / "v2", identity)
    lines = (layout.root / "config" / "config.tlog").read_text().splitlines()
    assert (
        '{"TS":1690000000000,"TP":["system","certificateFilePath"],"W":"changed",'
        f'"V":"{layout.root}/thingCert.crt"}}'
    ) in lines
    assert '{"TS":1690000000000,"TP":["services","main","lifecycle"],"W":"interiorAdded"}' in lines


def test_a_fleet_provisioned_device_has_empty_paths_in_its_effective_configuration(
    tmp_path: Path, identity: CoreIdentity
) -> None:
    """The transaction log says empty first and the truth later; the other file stays empty."""
    layout = lay_out_classic(tmp_path / "v2", identity, provisioning="fleet")
    tlog = layout.root / "config" / "config.tlog"
    of_certificate = [
        (entry["TS"], entry["V"])
        for entry in map(json.loads, tlog.read_text().splitlines())
        if entry["TP"] == ["system", "certificateFilePath"]
    ]
    assert [value for _, value in of_certificate] == ["", str(layout.certificate_path)]
    assert of_certificate[0][0] < of_certificate[1][0]
    assert replayed(tlog)["system.thingname"] == "press-7"
    effective = yaml.safe_load((layout.root / "config" / "effectiveConfig.yaml").read_text())
    assert effective["system"] == {
        "certificateFilePath": "",
        "privateKeyPath": "",
        "rootCaPath": "",
        "rootpath": str(layout.root),
        "thingName": "",
    }
    assert mode(layout.certificate_path) == 0o600


def test_lite_keeps_its_configuration_in_ggconfigds_database(
    tmp_path: Path, identity: CoreIdentity
) -> None:
    """Keys are a tree, values are JSON, and the reserved sections are where ggconfigd has them."""
    services = {"com.example.Watcher": {"configuration": {"watch": ["a"], "interval": 60}}}
    layout = lay_out_lite(tmp_path / "lite", identity, services=services)
    values = stored(layout.root / "config.db")
    assert {key: value for key, value in values.items() if key.startswith("system.")} == {
        "system.certificateFilePath": str(layout.root / "credentials" / "certificate.pem"),
        "system.privateKeyPath": str(layout.root / "credentials" / "priv_key"),
        "system.rootCaPath": str(layout.root / "credentials" / "AmazonRootCA.pem"),
        "system.rootPath": str(layout.root),
        "system.thingName": "press-7",
    }
    nucleus = "services.aws.greengrass.NucleusLite.configuration"
    assert values[f"{nucleus}.iotDataEndpoint"] == "localhost"
    assert values["services.com.example.Watcher.configuration.watch"] == ["a"]
    assert values["services.com.example.Watcher.configuration.interval"] == 60
    with closing(sqlite3.connect(layout.root / "config.db")) as database:
        types = {type(at) for (at,) in database.execute("SELECT timeStamp FROM valueTable")}
        assert types == {int}
        (empty,) = database.execute(
            "SELECT count(*) FROM keyTable k LEFT JOIN valueTable v USING (keyid)"
            " WHERE keyvalue = 'platformOverride' AND value IS NULL"
        ).fetchone()
        assert empty == 1


@pytest.mark.parametrize("lay_out", [lay_out_classic, lay_out_lite])
def test_paths_of_a_component(tmp_path: Path, identity: CoreIdentity, lay_out: LayOut) -> None:
    """Work, log and artifacts are where the nucleus has them; the work folder is there."""
    layout = lay_out(tmp_path / "root", identity)
    name = "com.example.Watcher"
    assert layout.work_path(name) == layout.work_path(name) == layout.root / "work" / name
    assert layout.work_path(name).is_dir()
    assert layout.log_path(name) == layout.root / "logs" / f"{name}.log"
    packages = layout.root / "packages"
    assert layout.artifacts_path(name, "1.0.0") == packages / "artifacts" / name / "1.0.0"
    unarchived = packages / "artifacts-unarchived" / name / "1.0.0"
    assert layout.unarchived_path(name, "1.0.0") == unarchived


@pytest.mark.parametrize("lay_out", [lay_out_classic, lay_out_lite])
def test_nothing_is_laid_over_what_is_there(
    tmp_path: Path, identity: CoreIdentity, lay_out: LayOut
) -> None:
    """A folder with anything in it is refused."""
    (tmp_path / "precious").touch()
    with pytest.raises(FileExistsError, match="is laid out in an empty folder"):
        lay_out(tmp_path, identity)


def test_an_identity_does_not_show_its_key(identity: CoreIdentity) -> None:
    """The key is not in the text form that a log or a failing test would print."""
    assert "press-7" in repr(identity)
    assert "marker" not in repr(identity)

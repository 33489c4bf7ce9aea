"""The credentials of the classic nucleus: which place is believed, and what it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from certkeeper.edge import nucleus_classic, nucleus_source
from certkeeper.edge.nucleus_config import CredentialsNotFound, NucleusConfig, discover
from certkeeper.edge.nucleus_source import MISSING, Unreadable
from tests.edge.classic_files import CERTIFICATE, KEY, NUCLEUS, changed, install, log, output, pair


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path


# -- what a healthy device says -------------------------------------------------------


def test_a_provisioned_device_tells_all_that_is_asked(root: Path) -> None:
    """Every field comes from config.tlog, which is named as the source, and nothing is odd."""
    log(
        root,
        [
            changed(["system", "rootpath"], str(root)),
            changed(["system", "thingName"], "press-7"),
            *pair("thing"),
            changed(["system", "rootCaPath"], "/rootCA.pem"),
            changed([*NUCLEUS, "awsRegion"], "eu-central-1"),
            changed([*NUCLEUS, "iotCredEndpoint"], "c.example"),
            changed([*NUCLEUS, "iotDataEndpoint"], "d.example"),
            changed([*NUCLEUS, "iotRoleAlias"], "alias"),
            changed([*NUCLEUS, "mqtt", "port"], 443),
            changed(
                [
                    *("services", "aws.greengrass.FleetProvisioningByClaim", "configuration"),
                    "claimCertificatePath",
                ],
                "/claim.crt",
            ),
            {"TS": 11, "TP": ["services", "main"], "W": "interiorAdded"},
        ],
    )
    assert discover(str(root)) == NucleusConfig(
        runtime="classic",
        root=str(root),
        thing_name="press-7",
        certificate_uri="/thing.crt",
        private_key_uri="/thing.key",
        root_ca_path="/rootCA.pem",
        source=str(root / "config" / "config.tlog"),
        notes=(),
        aws_region="eu-central-1",
        iot_cred_endpoint="c.example",
        iot_data_endpoint="d.example",
        iot_role_alias="alias",
        claim_certificate_path="/claim.crt",
    )


def test_a_fleet_provisioned_device_is_read_from_its_log(root: Path) -> None:
    """Its effectiveConfig.yaml has empty paths until the next start; config.tlog has the paths."""
    empty = [changed(CERTIFICATE, "", 1), changed(KEY, "", 1), changed(["system", "thingName"], "")]
    log(root, [*empty, *pair("thing", 20), changed(["system", "thingName"], "press-7", 20)])
    log(root, empty, "bootstrap.tlog")
    output(root, "", "")
    config = discover(str(root))
    assert (config.certificate_uri, config.private_key_uri) == ("/thing.crt", "/thing.key")
    assert config.thing_name == "press-7"


def test_a_link_as_the_root_is_followed_and_named_as_given(root: Path, tmp_path: Path) -> None:
    """/greengrass/v2 is often a link: messages name the path that people know."""
    log(root, pair("thing"))
    link = tmp_path / "v2"
    link.symlink_to(root, target_is_directory=True)
    assert discover(str(link)).source == str(link / "config" / "config.tlog")


def test_a_pin_in_the_nucleus_configuration_is_dropped(root: Path) -> None:
    """What comes out can be shown and logged as it is."""
    uri = "pkcs11:object=device;type=private"
    log(
        root, [changed(CERTIFICATE, f"{uri};pin-value=9137"), changed(KEY, f"{uri}?pin-value=9137")]
    )
    config = discover(str(root), certificate_override=f"{uri};pin-value=9137")
    assert config.private_key_uri == config.certificate_uri == uri
    assert "9137" not in repr(config)


# -- the order of the places ----------------------------------------------------------


def test_each_place_is_asked_in_the_order_of_the_nucleus(root: Path) -> None:
    """Taking the places away one by one, the next one answers, to the installer's file names."""
    install(root)
    output(root, "/out~.crt", "/out~.key", "effectiveConfig.yaml~")
    output(root, "/out.crt", "/out.key")
    for name in ("bootstrap.tlog~", "bootstrap.tlog", "config.tlog~", "config.tlog"):
        log(root, pair(name), name)
    log(root, pair("config.tlog.old"), "config.tlog.old")
    expected = {
        "config.tlog.old": "/config.tlog.old.crt",
        "config.tlog": "/config.tlog.crt",
        "config.tlog~": "/config.tlog~.crt",
        "bootstrap.tlog": "/bootstrap.tlog.crt",
        "bootstrap.tlog~": "/bootstrap.tlog~.crt",
        "effectiveConfig.yaml": "/out.crt",
        "effectiveConfig.yaml~": "/out~.crt",
    }
    for name, certificate in expected.items():
        config = discover(str(root))
        assert (config.certificate_uri, Path(config.source).name) == (certificate, name)
        (root / "config" / name).unlink()
    config = discover(str(root))
    assert config.certificate_uri == str(root / "thingCert.crt")
    assert config.private_key_uri == str(root / "privKey.key")
    assert config.source == f"{root}/thingCert.crt and privKey.key"
    assert config.notes == ()


def test_a_compaction_cut_short_is_undone_as_the_nucleus_undoes_it(root: Path) -> None:
    """The log that was moved away counts, not the new one, of which nobody knows if it is whole."""
    log(root, pair("old"), "config.tlog.old")
    log(root, pair("half"))
    config = discover(str(root))
    assert config.certificate_uri == "/old.crt"
    assert config.notes == ("config.tlog.old is left of a compaction; the nucleus starts from it",)


def test_an_unusable_old_log_does_not_hide_the_current_one(root: Path) -> None:
    """An empty config.tlog.old is told, and config.tlog is read."""
    log(root, [], "config.tlog.old")
    log(root, pair("a"))
    config = discover(str(root))
    assert config.certificate_uri == "/a.crt"
    assert f"{root}/config/config.tlog.old is empty" in config.notes


def test_the_moment_of_a_compaction_at_which_no_log_is_seen_is_survived(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is renamed between the look at .old and the look at it: it is looked for again."""
    log(root, pair("a"))
    log(root, pair("stale"), "config.tlog~")
    real, asked = nucleus_source.open_regular, [0]

    def not_at_first(path: Path) -> Any:
        asked[0] += 1
        if asked[0] <= 2:
            raise Unreadable(MISSING)
        return real(path)

    monkeypatch.setattr(nucleus_classic, "open_regular", not_at_first)
    assert discover(str(root)).certificate_uri == "/a.crt"


def test_an_empty_log_gives_way_to_its_backup(root: Path) -> None:
    """What a power cut left empty is told, and the nucleus's next choice is taken."""
    log(root, [])
    log(root, pair("a"), "config.tlog~")
    config = discover(str(root))
    assert config.certificate_uri == "/a.crt"
    assert config.notes == (f"{root}/config/config.tlog is empty",)


def test_a_log_of_nul_bytes_gives_way_to_its_backup(root: Path) -> None:
    """The damage that the nucleus's authors saw on SD cards: kilobytes of NUL bytes."""
    log(root, [b"\0" * 50_000])
    log(root, pair("a"), "config.tlog~")
    config = discover(str(root))
    assert config.certificate_uri == "/a.crt"
    assert f"{root}/config/config.tlog holds no line that can be read" in config.notes


@pytest.mark.parametrize("damage", [b"?\n", b'{"TS":'])
def test_a_backup_is_taken_whole_or_not_at_all(root: Path, damage: bytes) -> None:
    """The nucleus refuses a damaged backup, so a stale half of one is no answer."""
    log(root, [*pair("half"), damage], "config.tlog~")
    log(root, pair("whole"), "bootstrap.tlog")
    config = discover(str(root))
    assert config.certificate_uri == "/whole.crt"
    assert "config.tlog~ is damaged: config.tlog~ line 3" in config.notes[0]


def test_certificate_and_key_are_never_of_two_places(root: Path) -> None:
    """A log that names only a certificate is passed over for a file that names both."""
    log(root, [changed(CERTIFICATE, "/a.crt"), changed(["system", "thingName"], "press-7")])
    output(root, "/b.crt", "/b.key")
    config = discover(str(root))
    assert (config.certificate_uri, config.private_key_uri) == ("/b.crt", "/b.key")
    assert config.thing_name == "press-7"
    assert config.notes == (f"{root}/config/config.tlog names no private key",)


def test_a_certificate_here_and_a_key_there_are_not_found(root: Path) -> None:
    """Two places that name one each make no pair: the two might not belong together."""
    log(root, [changed(CERTIFICATE, "/a.crt")])
    output(root, "", "/b.key")
    with pytest.raises(CredentialsNotFound):
        discover(str(root))


def test_of_two_thing_names_the_one_that_is_to_be_believed_first_counts(root: Path) -> None:
    """What is not a credential comes from the first place that says it."""
    log(root, [changed(["system", "thingName"], "from-the-log")])
    output(root, "/b.crt", "/b.key")
    assert discover(str(root)).thing_name == "from-the-log"


def test_an_output_file_with_empty_paths_names_no_certificate(root: Path) -> None:
    """Empty counts as missing, and the note says where."""
    output(root, "", "")
    install(root)
    config = discover(str(root))
    assert config.source == f"{root}/thingCert.crt and privKey.key"
    assert config.notes == (
        f"{root}/config/effectiveConfig.yaml names no certificate and no private key",
    )


def test_values_that_are_not_text_are_taken_as_the_nucleus_takes_them(root: Path) -> None:
    """A thing may be named 17; a null, a list or a truth value is no path."""
    log(root, [*pair("a"), changed(["system", "thingName"], 17), changed(NUCLEUS, [1])])
    assert discover(str(root)).thing_name == "17"
    nothing: list[Any] = [None, [], True, {"a": 1}, 1.5, "x" * 5000]
    for value in nothing:
        log(root, [*pair("a"), changed(CERTIFICATE, value, 20)])
        with pytest.raises(CredentialsNotFound):
            discover(str(root))


def test_the_yaml_of_the_output_file_is_read_as_text(root: Path) -> None:
    """Names in any case; a thing named 0017 stays 0017; null is nothing."""
    (root / "config" / "effectiveConfig.yaml").write_text(
        "SYSTEM:\n  certificatefilepath: /a.crt\n  PrivateKeyPath: /a.key\n  thingName: 0017\n"
        "  rootCaPath: null\nservices:\n  aws.greengrass.Nucleus:\n    configuration:\n"
        "      awsRegion: eu-west-1\n      iotRoleAlias: ~\n"
    )
    config = discover(str(root))
    assert (config.thing_name, config.aws_region) == ("0017", "eu-west-1")
    assert config.root_ca_path is None
    assert config.iot_role_alias is None


@pytest.mark.parametrize("alone", ["thingCert.crt", "privKey.key"])
def test_one_of_the_installers_files_alone_is_not_a_pair(root: Path, alone: str) -> None:
    """Both must be there."""
    (root / alone).touch()
    with pytest.raises(CredentialsNotFound, match="are not both there"):
        discover(str(root))


def test_the_installers_root_ca_is_taken_with_its_pair(root: Path) -> None:
    """Where nothing but the installer's files is left, its rootCA.pem is one of them."""
    install(root)
    (root / "rootCA.pem").touch()
    assert discover(str(root)).root_ca_path == str(root / "rootCA.pem")

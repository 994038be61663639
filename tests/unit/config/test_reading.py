"""ca.toml: what is read, and what each mistake says."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from dayfly.config.addresses import Address, parse_address
from dayfly.config.reading import load_config, parse_config
from dayfly.config.values import Config
from dayfly.core.frozen import replace
from dayfly.core.policy.limits import DEFAULT_FIGURES, Rate
from dayfly.errors import ConfigError
from factories import CA_TOML, dns

HOME = Path("/srv/ca")
GOOD = CA_TOML.decode().replace('["ca.internal.example"]', '["ca.internal.example", "10.0.0.1", "2001:db8::1"]')


def parse(text: str) -> Config:
    """The settings in a text."""
    return parse_config(text.encode(), home=HOME)


def test_good_file_is_read_with_defaults() -> None:
    """What is absent has its default; paths are relative to the home."""
    config = parse(GOOD)
    assert config.root == HOME / "certs/root_ca.crt"
    assert config.metrics == Address("127.0.0.1", 9180)
    assert config.validation.http_port == 80
    assert config.limits_enabled is True
    assert config.dns_names[0] == dns("ca.internal.example")


def test_base_urls_are_built_from_the_names() -> None:
    """The first is canonical; IPv6 addresses stand in brackets."""
    assert parse(GOOD).base_urls == (
        "https://ca.internal.example:9000",
        "https://10.0.0.1:9000",
        "https://[2001:db8::1]:9000",
    )


def test_port_443_is_left_out_of_urls() -> None:
    """The default port of https is not written."""
    assert parse(GOOD.replace(":9000", ":443")).base_urls[0] == "https://ca.internal.example"


def test_validation_table_is_read() -> None:
    """Laboratory settings come as networks and addresses."""
    table = 'allow = ["127.0.0.0/8"]\nhosts = { "Web.Internal.Example" = "127.0.0.1" }\nresolver = "10.0.0.53:53"'
    validation = parse(f"{GOOD}[validation]\n{table}").validation
    assert validation.allow == (ip_network("127.0.0.0/8"),)
    assert validation.hosts == {"web.internal.example": "127.0.0.1"}
    assert validation.resolver == (Address("10.0.0.53", 53),)


def test_metrics_can_be_off() -> None:
    """An empty address switches the port off."""
    assert parse(GOOD + '[metrics]\naddress = ""').metrics is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("version = 1", "version = 2"), "version: found 2, this Dayfly reads version 1"),
        (("version = 1", 'version = "1"'), "version: expected `int`, got `str`"),
        (('name = "Internal CA"', ""), "name: is missing"),
        (('name = "Internal CA"', 'name = ""'), "name: expected 1 to 64 printable characters"),
        (("[log]", "colour = 1\n[log]"), "issuer.colour: unknown key"),
        (("version = 1", "version = 1\nspeed = 9"), "speed: unknown key"),
        ((":9000", ":0"), "address: port 0 cannot be used"),
        ((":9000", ":70000"), "address: port 70000 cannot be used"),
        ((":9000", "9000"), "address: found '9000', expected HOST:PORT"),
        ((":9000", "ca.internal.example:9000"), "address: 'ca.internal.example' is no IP address"),
        (('"ca.internal.example", ', '"bad name", '), "dns_names: 'bad name' is not a name that the CA can have"),
        (('"ca.internal.example", ', '"*.internal.example", '), "dns_names:"),
        (('["ca.internal.example", "10.0.0.1", "2001:db8::1"]', "[]"), "dns_names: expected 1 to 20 names, found 0"),
        (("file:secrets/log_key", "pkcs11:x"), "log.key: found 'pkcs11:x', expected a key URI"),
        (("[log]", "[validation]\nhttp_port = 0\n[log]"), "validation.http_port: found 0"),
        (("[log]", '[validation]\nallow = ["127.0.0.1/8"]\n[log]'), "validation.allow: '127.0.0.1/8' is no network"),
        (("[log]", '[validation]\nhosts = { a = "b" }\n[log]'), "validation.hosts.a: 'b' is no IP address"),
        (("[log]", '[validation]\nresolver = "x"\n[log]'), "validation.resolver: found 'x'"),
        (("[log]", '[validation]\nresolver = ":53"\n[log]'), "validation.resolver: found ':53', expected an IP"),
        (("[log]", '[validation]\nresolver = ["localhost:53"]\n[log]'), "validation.resolver: found 'localhost:53'"),
        (("[log]", "[chaos]\nbad_nonces = 1.0\n[log]"), "chaos.bad_nonces: found 1.0, expected 0 to 0.9"),
        (("[log]", "[chaos]\norders_page = 0\n[log]"), "chaos.orders_page: found 0, expected 1 to 1000"),
        (("version = 1", "version = = 1"), "ca.toml is not valid TOML"),
    ],
)
def test_mistake_names_the_path_and_what_was_expected(change: tuple[str, str], says: str) -> None:
    """Each error says where, what was found and what was expected."""
    with pytest.raises(ConfigError) as caught:
        parse(GOOD.replace(*change))
    assert str(caught.value).startswith(says)


def test_large_file_is_refused() -> None:
    """A file above the cap is not parsed."""
    with pytest.raises(ConfigError, match="at most"):
        parse("#" * (1024 * 1024 + 1))


def test_missing_file_says_what_to_run(tmp_path: Path) -> None:
    """Where there is no CA, the next step is named."""
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert "dayfly ca init" in caught.value.hint


def test_file_is_loaded_from_the_home(tmp_path: Path) -> None:
    """The home's ca.toml is the one."""
    (tmp_path / "ca.toml").write_text(GOOD)
    assert load_config(tmp_path).home == tmp_path


def test_directory_in_its_place_is_an_error(tmp_path: Path) -> None:
    """What cannot be read is told, with the reason."""
    (tmp_path / "ca.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_address_is_written_as_it_is_read() -> None:
    """IPv6 hosts stand in brackets."""
    assert (str(Address("::1", 9000)), str(Address("", 9000))) == ("[::1]:9000", ":9000")


def test_port_zero_says_what_to_write() -> None:
    """No URL can be made of a port that is drawn anew with each start."""
    with pytest.raises(ConfigError, match="port 0 cannot be used") as caught:
        parse_address(":0", "address")
    assert caught.value.hint == "choose one, as :9000"


def test_explanation_url_is_a_plain_page() -> None:
    """It is printed by clients, so anything else is refused by its key."""
    assert parse(GOOD).explanation_url == ""
    table = '[renewal_info]\nexplanation_url = "https://wiki.internal.example/pki"\n'
    assert parse(GOOD + table).explanation_url == "https://wiki.internal.example/pki"
    with pytest.raises(ConfigError, match=r"renewal_info\.explanation_url"):
        parse(GOOD + table.replace("https:", "ftp:"))


def test_alternate_chains_are_files_of_the_home__rfc8555_7_4_2() -> None:
    """None by default; at most eight."""
    assert parse(GOOD).issuer_alternates == ()
    some = GOOD.replace("[log]", 'alternates = ["certs/a.crt", "/etc/b.crt"]\n[log]')
    assert parse(some).issuer_alternates == (HOME / "certs/a.crt", Path("/etc/b.crt"))
    many = GOOD.replace("[log]", f"alternates = {[f'{number}.crt' for number in range(9)]}\n[log]")
    with pytest.raises(ConfigError, match=r"issuer\.alternates"):
        parse(many)


def test_figures_of_limits_are_settings__acme_13() -> None:
    """By the name of the limit with underscores; what is not said is the default."""
    assert parse(GOOD).limit_figures == DEFAULT_FIGURES
    config = parse(GOOD + '[limits]\nnew_orders = "30/1m"\nopen_orders = 5\n')
    expected = replace(DEFAULT_FIGURES, new_orders=Rate(30, timedelta(minutes=1)), open_orders=5)
    assert (config.limits_enabled, config.limit_figures) == (True, expected)


@pytest.mark.parametrize(
    ("line", "says", "hint"),
    [
        ('certificates = "1000"', "limits.certificates: found '1000', expected COUNT/WINDOW", '"1000/1d"'),
        ('certificates = "0/1d"', "limits.certificates: found a count of 0, expected 1 to", '"1000/1d"'),
        ("certificates = 1000", "limits.certificates: expected `str`, got `int`", "docs/reference/ca-toml.md"),
        ("open_orders = 0", "limits.open_orders: found a count of 0, expected 1 to 10000", "open_orders = 1000"),
        ("paused = true", "limits.paused: expected `int`, got `bool`", "docs/reference/ca-toml.md"),
        ('new-orders = "3000/3h"', "limits.new-orders: unknown key", "docs/reference/ca-toml.md"),
        ('replacements = "9/1h"', "limits.replacements: unknown key", "docs/reference/ca-toml.md"),
    ],
)
def test_figure_that_cannot_be_taken_names_the_key_and_the_way(line: str, says: str, hint: str) -> None:
    """What, why, and what next."""
    with pytest.raises(ConfigError) as caught:
        parse(GOOD + f"[limits]\n{line}\n")
    assert str(caught.value).startswith(says)
    assert hint in caught.value.hint


def test_crls_are_off_until_they_have_an_address() -> None:
    """Then they are named by the CA's first name over plain http, and good for a day."""
    assert parse(GOOD).crl is None
    found = parse(GOOD + '[crl]\naddress = ":9080"\n').crl
    assert found is not None
    assert (str(found.address), found.url, found.validity) == (
        ":9080",
        "http://ca.internal.example:9080",
        timedelta(hours=24),
    )
    plain = parse(GOOD + '[crl]\naddress = ":80"\n').crl
    assert plain is not None
    assert plain.url == "http://ca.internal.example"
    named = parse(GOOD + '[crl]\naddress = ":9080"\nurl = "http://crl.internal.example/pki/"\nvalidity = "30s"\n').crl
    assert named is not None
    assert (named.url, named.validity) == ("http://crl.internal.example/pki", timedelta(seconds=30))


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('url = "http://crl.internal.example"', "crl.address"),
        ('address = ":0"', "crl.address"),
        ('address = ":9080"\nurl = "https://crl.internal.example"', "crl.url"),
        ('address = ":9080"\nurl = "http://crl.internal.example/a b"', "crl.url"),
        ('address = ":9080"\nvalidity = "29s"', "crl.validity"),
        ('address = ":9080"\nvalidity = "8d"', "crl.validity"),
        ('address = ":9080"\nvalidity = "a day"', "crl.validity"),
        ('adress = ":9080"', "crl.adress"),
    ],
)
def test_crl_table_that_cannot_be_taken_names_the_key(table: str, key: str) -> None:
    """A URL over https would need a CRL to fetch a CRL."""
    with pytest.raises(ConfigError) as caught:
        parse(GOOD + f"[crl]\n{table}\n")
    assert caught.value.path == key

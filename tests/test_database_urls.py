"""Database URLs, as in nova.conf and as Django's tools write them."""

import string
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells.database_urls import DatabaseURLError, database_settings, fill_template, without_password

SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs"]), min_size=1
)


def read(url: str) -> dict[str, Any]:
    return database_settings(url, connect_timeout=2)


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("mysql+pymysql://nova:secret@db.example.org:3307/nova_api?charset=utf8", "mysql"),
        ("mysql://nova:secret@db.example.org:3307/nova_api", "mysql"),
        ("mariadb+pymysql://nova:secret@db.example.org:3307/nova_api", "mysql"),
        ("postgresql+psycopg2://nova:secret@db.example.org:3307/nova_api", "postgresql"),
        ("postgresql://nova:secret@db.example.org:3307/nova_api", "postgresql"),
        ("postgres://nova:secret@db.example.org:3307/nova_api", "postgresql"),
    ],
)
def test_urls_of_servers(url: str, engine: str) -> None:
    settings = read(url)
    assert settings["ENGINE"] == f"cells.backends.{engine}"
    assert settings["USER"] == "nova"
    assert settings["PASSWORD"] == "secret"
    assert settings["HOST"] == "db.example.org"
    assert settings["PORT"] == "3307"
    assert settings["NAME"] == "nova_api"


def test_an_sqlite_url_is_a_path() -> None:
    assert read("sqlite:////var/lib/portal/api.sqlite3")["NAME"] == "/var/lib/portal/api.sqlite3"


def test_most_parts_may_be_left_out() -> None:
    settings = read("postgresql:///nova?host=/run/postgresql")
    assert (settings["HOST"], settings["PORT"], settings["USER"]) == ("/run/postgresql", "", "")
    assert settings["NAME"] == "nova"
    assert read("mysql://root@[2001:db8::1]:3306/nova")["HOST"] == "2001:db8::1"


@given(password=SECRETS, user=SECRETS)
def test_any_password_can_be_quoted(password: str, user: str) -> None:
    url = f"mysql+pymysql://{quote(user, safe='')}:{quote(password, safe='')}@db:3306/nova"
    settings = read(url)
    assert (settings["USER"], settings["PASSWORD"]) == (user, password)
    assert (settings["HOST"], settings["PORT"], settings["NAME"]) == ("db", "3306", "nova")


@given(st.text(string.ascii_letters + string.digits + "#?/:&=+!$ö'\"", min_size=1))
def test_what_sqlalchemy_reads_unquoted_we_do_too(password: str) -> None:
    settings = read(f"postgresql://nova:{password}@db/nova_cell0?connect_timeout=60")
    assert settings["PASSWORD"] == password
    assert (settings["HOST"], settings["NAME"]) == ("db", "nova_cell0")


@given(SECRETS)
def test_no_error_repeats_a_password(password: str) -> None:
    quoted = quote(password + "$3cret$", safe="")
    for url in (
        f"oracle://nova:{quoted}@db/nova",
        f"mysql://nova:{quoted}@db:port/nova",
        f"mysql://nova:{quoted}@db",
        f"//nova:{quoted}@db/nova",
    ):
        with pytest.raises(DatabaseURLError) as raised:
            read(url)
        assert "$3cret$" not in str(raised.value)
        assert quoted not in str(raised.value)


@given(SECRETS.filter(lambda text: "@" not in text))
def test_passwords_are_hidden(password: str) -> None:
    shown = without_password(f'could not connect to "mysql://nova:{password}$3cret$@db/nova"')
    assert "$3cret$" not in shown
    assert shown.endswith('mysql://nova:***@db/nova"')


def test_passwords_of_all_hosts_are_hidden() -> None:
    shown = without_password("amqp: rabbit://a:b@host1:5672,c:d@host2:5672//nova is away: x@y:z")
    assert shown == "amqp: rabbit://a:***@host1:5672,c:***@host2:5672//nova is away: x@y:z"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "not a database URL"),
        ("nova.sqlite3", "not a database URL"),
        ("mysql://db:33o6/nova", "not a database URL"),
        ("mssql+pyodbc://db/nova", "mssql"),
        ("mysql://db", "no database"),
        ("mysql://db/", "no database"),
    ],
)
def test_an_unreadable_url_is_explained(url: str, message: str) -> None:
    with pytest.raises(DatabaseURLError, match=message):
        read(url)


def test_only_the_drivers_own_options_are_passed_on() -> None:
    options = read("mysql+pymysql://db/nova?charset=latin1&plugin=dbcounter&ssl_ca=/ca.pem")[
        "OPTIONS"
    ]
    assert options["charset"] == "latin1"
    assert options["ssl_ca"] == "/ca.pem"
    assert "plugin" not in options
    assert read("postgresql://db/nova?sslmode=require&x=y")["OPTIONS"]["sslmode"] == "require"


def test_waiting_is_limited_on_every_server() -> None:
    mysql = read("mysql://db/nova")["OPTIONS"]
    assert (mysql["connect_timeout"], mysql["read_timeout"], mysql["write_timeout"]) == (2, 10, 10)
    postgresql = read("postgresql://db/nova")["OPTIONS"]
    assert (postgresql["connect_timeout"], postgresql["tcp_user_timeout"]) == (2, 10_000)
    assert (
        database_settings("mysql://db/nova", connect_timeout=0.1)["OPTIONS"]["connect_timeout"] == 1
    )


# --- templates ------------------------------------------------------------------------------------

MAIN = "mysql+pymysql://nova:s%40cret@db.example.org:3306/nova?charset=utf8"


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("mysql://fixed/nova", "mysql://fixed/nova"),
        (
            "{scheme}://{username}:{password}@{hostname}:{port}/nova_cell1?{query}",
            "mysql+pymysql://nova:s%40cret@db.example.org:3306/nova_cell1?charset=utf8",
        ),
        ("{scheme}://{username}@cell1/{path}_cell1", "mysql+pymysql://nova@cell1/nova_cell1"),
    ],
)
def test_templates_are_filled_from_the_main_url(template: str, filled: str) -> None:
    assert fill_template(template, MAIN) == filled


def test_a_password_in_a_template_is_unchanged() -> None:
    url = fill_template("{scheme}://{username}:{password}@{hostname}/nova_cell1", MAIN)
    assert read(url)["PASSWORD"] == "s@cret"


def test_templates_of_several_hosts() -> None:
    main = "rabbit://a:x@one:1,b:y@two:2/vhost"
    assert (
        fill_template("rabbit://{username2}:{password2}@{hostname2}:{port2}/{path}", main)
        == "rabbit://b:y@two:2/vhost"
    )


@pytest.mark.parametrize(
    "template",
    [
        "{user}://",
        "{port1}",
        "{",
        "{0}",
        "{hostname.x}",
        "{path:>999999999}",
        "{hostname!r}",
        "{{hostname}}",
    ],
)
def test_a_template_with_an_unknown_name_is_refused(template: str) -> None:
    with pytest.raises(DatabaseURLError):
        fill_template(template, MAIN)


@pytest.mark.parametrize("template", ["mysql://nova@db/{password}", "mysql://{password}@db/nova"])
def test_a_template_shows_no_password(template: str) -> None:
    """Names of users, hosts and databases are repeated by errors."""
    with pytest.raises(DatabaseURLError, match="a password where none belongs"):
        fill_template(template, MAIN)


def test_an_unreadable_main_url_is_refused() -> None:
    with pytest.raises(DatabaseURLError) as raised:
        fill_template("{scheme}://{hostname}:{port}/nova", "mysql://nova:pass#word@db/nova")
    assert "pass" not in str(raised.value)

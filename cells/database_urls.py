"""Database URLs, as in nova.conf and as Django's tools write them.

The settings import this, so it must not use them.
"""

import math
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

ENGINES = {
    "sqlite": "cells.backends.sqlite3",
    "postgres": "cells.backends.postgresql",
    "postgresql": "cells.backends.postgresql",
    "mysql": "cells.backends.mysql",
    "mariadb": "cells.backends.mysql",
}

#: Query parameters that are passed on to the driver.  Others mean something to SQLAlchemy only,
#: such as ``plugin``.
DRIVER_OPTIONS = {
    "cells.backends.sqlite3": set[str](),
    "cells.backends.postgresql": {
        "host",
        "port",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "application_name",
        "target_session_attrs",
    },
    "cells.backends.mysql": {
        "charset",
        "ssl_ca",
        "ssl_cert",
        "ssl_key",
        "unix_socket",
        "read_default_file",
    },
}


#: As SQLAlchemy reads a URL: a password may contain ``#``, ``?``, ``/`` and ``:`` unquoted.
URL = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<host>\[[^\]@]+\]|[^:/?@]*)(?::(?P<port>\d*))?"
    r"(?:/(?P<name>[^?]*))?(?:\?(?P<query>.*))?"
)


class DatabaseURLError(ValueError):
    """The URL cannot be read; the message says why, without repeating a password."""


def database_settings(url: str, *, connect_timeout: float) -> dict[str, Any]:
    """Django's settings for the database behind ``url``.

    ``mysql+pymysql://user:secret@host:3306/nova_api?charset=utf8mb4``,
    ``postgresql+psycopg2://...``, ``postgres://...`` and ``sqlite:////path`` are understood.
    ``connect_timeout`` is in seconds; five times as long is the limit for one statement, so that
    no thread waits forever.  Raises ``DatabaseURLError``.
    """
    parts = URL.fullmatch(url)
    if parts is None:
        raise DatabaseURLError("not a database URL")
    scheme = parts["scheme"].partition("+")[0]
    if scheme not in ENGINES:
        known = ", ".join(f"{name}://" for name in ENGINES)
        raise DatabaseURLError(f"{parts['scheme']} scheme; expected one of {known}")
    engine = ENGINES[scheme]
    name = unquote(parts["name"] or "")
    if not name:
        raise DatabaseURLError("names no database")
    options: dict[str, Any] = {
        key: value
        for key, value in parse_qsl(parts["query"] or "")
        if key in DRIVER_OPTIONS[engine]
    }
    whole_seconds = max(1, math.ceil(connect_timeout))
    if scheme == "sqlite":
        options |= {
            "timeout": whole_seconds,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    elif scheme in ("mysql", "mariadb"):
        options |= {
            "connect_timeout": whole_seconds,
            "read_timeout": 5 * whole_seconds,
            "write_timeout": 5 * whole_seconds,
            "init_command": "SET SESSION sql_mode='STRICT_TRANS_TABLES'",
        }
        options.setdefault("charset", "utf8mb4")
    else:
        # Else a thread would wait for hours for a server that went away silently.
        options |= {
            "connect_timeout": whole_seconds,
            "keepalives_idle": 5 * whole_seconds,
            "keepalives_interval": whole_seconds,
            "keepalives_count": 3,
            "tcp_user_timeout": 5000 * whole_seconds,
        }
    return {
        "ENGINE": engine,
        "NAME": name,
        "USER": unquote(parts["user"] or ""),
        "PASSWORD": unquote(parts["password"] or ""),
        "HOST": options.pop("host", None) or parts["host"].strip("[]"),
        "PORT": options.pop("port", None) or parts["port"] or "",
        "OPTIONS": options,
        # The thread of a request keeps its connection to a cell that it changes something in:
        # making one takes more round trips than the change.  A file may be replaced.
        "CONN_MAX_AGE": 0 if scheme == "sqlite" else 60,
        "CONN_HEALTH_CHECKS": scheme != "sqlite",
        "ATOMIC_REQUESTS": False,
        "AUTOCOMMIT": True,
        "TIME_ZONE": None,
        "TEST": {"NAME": None, "MIRROR": None, "MIGRATE": True, "CHARSET": None, "COLLATION": None},
    }


#: What a template may have between braces: the plain name of a value, as in Nova's documentation.
PLACEHOLDER = re.compile(r"\{([a-z]+\d*)\}")
#: Where a password may stand in a template; errors repeat what stands elsewhere.
PASSWORD_PLACE = re.compile(r"(://[^:/@]*:)\{password\d*\}(?=@)")


def fill_template(url: str, main_url: str) -> str:
    """Fill in ``{username}``, ``{hostname}``, ... in a cell mapping's URL from ``main_url``.

    As ``nova.objects.cell_mapping`` does with ``[database]/connection``, ``{hostname1}`` and so
    on included, but without the rest of Python's format language.  A URL without braces is
    returned unchanged.  Raises ``DatabaseURLError``.
    """
    if "{" not in url:
        return url
    if "{password" in PASSWORD_PLACE.sub("", url):
        raise DatabaseURLError("template has a password where none belongs")
    try:
        values = _template_values(main_url)
    except ValueError as error:  # its text may repeat a part of the main URL
        raise DatabaseURLError("template or main database URL cannot be read") from error
    unknown = [name for name in PLACEHOLDER.findall(url) if name not in values]
    if unknown or set("{}") & set(PLACEHOLDER.sub("", url)):
        named = ", ".join(unknown) or "something other than names in its braces"
        raise DatabaseURLError(f"template has an unknown name: {named}")
    return PLACEHOLDER.sub(lambda match: str(values[match[1]]), url)


def _template_values(main_url: str) -> dict[str, Any]:
    parts = urlsplit(main_url)
    values: dict[str, Any] = {
        "scheme": parts.scheme,
        "username": parts.username,
        "password": parts.password,
        "hostname": parts.hostname,
        "path": parts.path.lstrip("/"),
        "query": parts.query,
        "fragment": parts.fragment,
    }
    if "," not in parts.netloc:
        return values | {"port": parts.port}
    for number, netloc in enumerate(parts.netloc.split(","), 1):
        server = urlsplit(f"//{netloc}")
        values |= {
            f"username{number}": server.username,
            f"password{number}": server.password,
            f"hostname{number}": server.hostname,
            f"port{number}": server.port,
        }
    return values


#: A password, in what stands before the ``@`` that follows it.
_PASSWORD = re.compile(r"((?:://|,)[^:/,\s]*):.*", re.DOTALL)


def without_password(text: str) -> str:
    """``text`` (an error message or a URL) with ``***`` for the password in every URL.

    Every host of a transport URL may have one (``rabbit://a:b@host1,c:d@host2/``).
    """
    *before_hosts, end = text.split("@")
    hidden = (_PASSWORD.sub(r"\1:***", part, count=1) for part in before_hosts)
    return "@".join([*hidden, end])

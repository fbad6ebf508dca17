"""Django's backend for MariaDB and MySQL, with limits, and null for times that are none."""

from typing import Any

from django.conf import settings
from django.db.backends.mysql import base
from pymysql.constants import CLIENT, FIELD_TYPE, SERVER_STATUS

from cells.backends.limits import IDLE_TRANSACTION, LOCK_WAIT, USUAL, Limits
from cells.odd_times import or_none

TIMES = (FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)


class DatabaseWrapper(Limits, base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        seconds = self.seconds_to_connect()
        where = f"database {self.settings_dict['NAME']}"
        times = {kind: or_none(params["conv"][kind], where) for kind in TIMES}
        return {
            **params,
            "conv": {**params["conv"], **times},
            "connect_timeout": min(seconds, params.get("connect_timeout", seconds)),
            "read_timeout": seconds,  # of the handshake
            "client_flag": params["client_flag"] | CLIENT.MULTI_STATEMENTS,  # for BEGIN
        }

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        # From now on the watchdog knows better how long an answer may take.
        connection._read_timeout = self.settings_dict["OPTIONS"].get("read_timeout")
        return connection

    def descriptor_of(self, connection: Any) -> int:
        descriptor: int = connection._sock.fileno()
        return descriptor

    def is_closed(self) -> bool:
        return not self.connection.open

    def is_idle(self) -> bool:
        in_transaction = self.connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS
        return self.connection.open and not in_transaction

    def skip_begin(self, cursor: Any) -> None:
        cursor.nextset()

    def init_connection_state(self) -> None:
        """The server also limits what a connection may do: it goes on when its client is gone.

        MariaDB alone reads what stands in its own kind of comments.
        """
        super().init_connection_state()
        limits = f"innodb_lock_wait_timeout = {LOCK_WAIT}"
        if self.is_limited_by_server:
            limits += (
                f" /*M! , max_statement_time = {USUAL * settings.CELL_DEADLINE},"
                f" idle_transaction_timeout = {IDLE_TRANSACTION} */"
            )
        with self.cursor() as cursor:
            cursor.execute(f"SET SESSION {limits}")

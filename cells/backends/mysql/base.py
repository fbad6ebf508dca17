"""Django's backend for MariaDB and MySQL, reading times that Python cannot represent as null."""

from typing import Any

from django.db.backends.mysql import base
from pymysql.constants import FIELD_TYPE

from cells.backends.odd_times import or_none

TIMES = (FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        where = f"database {self.settings_dict['NAME']}"
        times = {kind: or_none(params["conv"][kind], where) for kind in TIMES}
        return {**params, "conv": {**params["conv"], **times}}

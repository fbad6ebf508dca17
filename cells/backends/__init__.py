"""Django's database backends, which a database that fails cannot hold up.

Every statement and every attempt to connect ends in time (``limits``, ``cells.deadlines``), and
the databases that all requests need are left alone while they do not answer (``guards``).  A time
that Python cannot represent is null, so that it costs no other row (``cells.odd_times``).
"""

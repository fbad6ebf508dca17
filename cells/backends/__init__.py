"""Django's database backends, with what the portal needs of a database that is not its own.

A time that Python cannot represent is null, with a warning in the log: it must not take down the
query that meets it, nor the cell that has it.
"""

"""The decorator that `conftest` puts on every function of the package: shapes and types of arguments are checked."""

from beartype import BeartypeConf, beartype

# The numeric tower: where a float is wanted, an int will do, as in Python at large.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))

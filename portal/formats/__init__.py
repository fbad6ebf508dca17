"""How each language writes dates and numbers: a module ``formats`` for each, as Django wants it."""

"""How things look from outside: a module per resource."""

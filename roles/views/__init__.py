"""The API of what belongs to roles: a module per resource."""

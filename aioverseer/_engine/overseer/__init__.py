"""A set of services: start, stop, order, groups, signals."""

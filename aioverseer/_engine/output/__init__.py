"""Output: what the bytes of a pipe go through on their way to whoever reads the lines.

``pump`` moves a pipe's lines to its outlets, ``streams`` is both pipes of one run, ``queue`` is the queue of a reader,
``subscription`` that of one of many with its rule for overflow, ``hub`` the fan-out of a Service, ``tail`` its memory
of the last lines, ``logs`` its way to files and loggers. Nothing in here knows of states, starts a task or touches a
descriptor.
"""

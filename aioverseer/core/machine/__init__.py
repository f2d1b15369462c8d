"""State machines and rules. They return actions; they never perform one."""

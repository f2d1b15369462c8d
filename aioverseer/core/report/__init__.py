"""What is known about a program, and the errors that carry it."""

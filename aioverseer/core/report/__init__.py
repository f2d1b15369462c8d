"""Reports about a program, and the errors that carry them."""

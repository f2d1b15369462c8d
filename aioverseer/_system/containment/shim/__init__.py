"""The shim: an argv prefix that ends the whole subtree of one program."""

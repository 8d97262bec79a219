"""What `tasks.fault` has, under the name that the copy command knows it by."""

from tasks.fault import readable, reported

__all__ = ["readable", "reported"]

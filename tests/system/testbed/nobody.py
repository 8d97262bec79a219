"""Programs that refuse to run as root."""

NOBODY = 65534

# Put before a command: it runs in a user namespace in which root has the name nobody. It may still use what
# belongs to root, such as the testbed's folders. The System V memory that PostgreSQL leaves behind when it is
# killed goes with the IPC namespace.
AS_NOBODY = ("unshare", "--user", "--ipc", f"--map-user={NOBODY}", f"--map-group={NOBODY}")

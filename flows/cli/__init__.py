"""The command line: each command is a thin wrapper over a flow."""

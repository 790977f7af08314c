"""The command line: every command is a thin wrapper around a flow."""

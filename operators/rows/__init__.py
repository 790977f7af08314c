"""The row: its Arrow schema, the views through which operators read it, and its records."""

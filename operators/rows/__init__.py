"""The row: its Arrow schema, the views that operators read it through, and its records."""

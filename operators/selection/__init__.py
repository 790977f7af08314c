"""What the user wants erased and what stays: rules as data, and what each decides about a text."""

"""Who may see whose records and why; what was disclosed to whom; consent and directory information."""

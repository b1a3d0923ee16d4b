"""Who may do what, and what stays hidden: secrets and their masking."""

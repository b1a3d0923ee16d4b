"""What people start from and pass on: templates now; plugins and packages have their place here."""

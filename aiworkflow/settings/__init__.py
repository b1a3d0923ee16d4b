"""What can be set, by whom, and what holds: options, layers, units, and where the project is.

Takes plain data; reading YAML is the business of `bundle/`.
"""

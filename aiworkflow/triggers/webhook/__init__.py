"""Webhooks: signed requests of other systems that start runs, or reach steps that wait."""

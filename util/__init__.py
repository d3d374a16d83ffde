"""Helpers that do not depend on models, data or options."""

"""Reading: files → a typed `Workflow`, with a diagnostic for everything that is wrong.

Runs nothing and opens no connection.
"""

from aiworkflow.bundle.read import BundlePath, Reading, list_bundles, read_bundle, read_document

__all__ = ["BundlePath", "Reading", "list_bundles", "read_bundle", "read_document"]

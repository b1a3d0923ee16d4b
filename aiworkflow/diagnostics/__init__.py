"""Places in files and findings about them: what is wrong, exactly where, and what to do.

Collected, never raised; shown as text, JSON or SARIF.
"""

from aiworkflow.diagnostics.diagnostic import Diagnostic, Label, Report, Severity
from aiworkflow.diagnostics.source import Fragment, Place, Source, Span

__all__ = ["Diagnostic", "Fragment", "Label", "Place", "Report", "Severity", "Source", "Span"]

"""Views of the journal: what a run did, as a tree, a result, a log and a record for git.

Reads events, writes none.
"""

from aiworkflow.observe.progress import RunProgress, StepProgress

__all__ = ["RunProgress", "StepProgress"]

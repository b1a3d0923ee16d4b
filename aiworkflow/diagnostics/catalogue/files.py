"""AW0xx: files and their encoding."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW001", "not-utf-8", "a text file that is not UTF-8",
        "Readers would see other characters than the ones that run. Save the file as UTF-8, with "
        "or without a byte order mark.",
        "workflow.md    in ISO-8859-1\n", "workflow.md    in UTF-8\n",
    ),
    Rule(
        "AW002", "nul-character", "a text file with a NUL character",
        "A NUL is no text: editors hide it, and programs end the text there.",
        "prompts/rules.md    with a NUL character\n", "prompts/rules.md    text only\n",
    ),
    Rule(
        "AW003", "link-out-of-bundle", "a link that leads out of the bundle, or to a folder",
        "What runs must be what was reviewed, and a link can come to lead elsewhere. A link to a "
        "file within the bundle is fine.",
        "tools/github.py -> /usr/local/bin/github\n", "tools/github.py    a file\n",
    ),
    Rule(
        "AW004", "file-name", "a file name that is not UTF-8",
        "Such a name cannot be written in a workflow, and other systems cannot check it out.",
        "tools/caf\\xe9.py\n", "tools/café.py\n",
    ),
    Rule(
        "AW005", "unreadable-file", "a file that cannot be read",
        "A missing, forbidden or special file (a device, a pipe) leaves out part of what was "
        "meant to run.",
        "tools/github.py    a named pipe\n", "tools/github.py    a plain file\n",
    ),
    Rule(
        "AW006", "too-large", "a bundle with too much in it",
        "A text is at most 1 MiB, any other file 10 MiB, a bundle 64 MiB, 2,000 files and 20 "
        "folders deep. Everything in it is read and digested before each run.",
        "data/all.csv    80 MB\n", "tools/load.py    reads the data where it is kept\n",
    ),
    Rule(
        "AW007", "which-workflow", "a folder with no workflow, or more than one",
        "The workflow is `workflow.md`, or `main.md`, or the only `.md` file of the folder; README, "
        "CHANGELOG and SKILL never count.",
        "workflow.md\nmain.md\n", "workflow.md\nREADME.md\n",
    ),
    Rule(
        "AW008", "names-differ-in-case", "two files whose names differ in case only",
        "On systems that ignore case they are one file, so something else would run there.",
        "tools/Post.py\ntools/post.py\n", "tools/post.py\ntools/post_all.py\n",
    ),
)  # fmt: skip

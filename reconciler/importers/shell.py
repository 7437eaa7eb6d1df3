"""In: a command line that a shell ran there. Out: a `script` where that means the same, else the shell itself."""

import re

from .draft import Draft, Mark

# Where one of these stands, `sh -eu` with pipefail may not do what `sh -c` did.
_MATTERS = re.compile(r"[;|$`\n\\]|(?<![&>])&(?!&)|\b(?:if|while|until|for|case|set|!)\b|[(){}]")


def keep_shell(draft: Draft, text: str, at: Mark, shell: str = "/bin/sh") -> None:
    """A single command, or a chain of `&&`, is a `script`; anything else is given to the shell that it is for."""
    line = text.strip("\n")
    if not line.strip():
        return
    if shell in ("/bin/sh", "sh") and not _MATTERS.search(line):
        draft.keep("script", line.strip(), at)
        return
    draft.keep("entrypoint", [shell, "-c"], at)
    draft.keep("command", [line], at)

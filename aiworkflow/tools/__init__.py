"""Operations: scripts in tools/ and built-ins, and the child processes they run in."""

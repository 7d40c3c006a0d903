"""How fast it is, beside what one would run instead: `python -m switchboard bench`, or `make bench` with the peers."""

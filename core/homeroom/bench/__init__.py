"""What this installation can do, measured: each figure beside a bare baseline of the same server in the same run.

One module per bench, each with a `run(...) -> Outcome`. The server is always a real process started as an operator
starts it, the clients are a process of their own, and everything lies in a temporary folder that is gone afterwards.
"""

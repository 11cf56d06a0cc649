"""A whole synthetic district on one machine: what `homeroom demo` starts.

Everything in it is real but the people: a roster that came in through the oneroster connector, the server on Hypercorn,
students who check in over HTTP with the codes that the teacher's screen shows, and a board fed by the WebSocket.
"""

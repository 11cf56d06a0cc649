"""A whole synthetic district on one machine: what `homeroom demo` starts.

Everything in it is real but the people and the vendor: a roster that the powerschool connector read over HTTP from that
vendor's simulator, the server on Hypercorn, students who check in over HTTP with the codes that the teacher's screen
shows, a board fed by the WebSocket, and marks that go back into the simulator.
"""

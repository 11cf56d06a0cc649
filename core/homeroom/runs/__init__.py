"""The sync at work in a district: which runs are due, who begins them, what is under way, how each connector stands.

`homeroom.sync` knows how one run goes; here is when, where and for whom.
"""

"""Skyward's two systems over a synthetic district, for tests, the demo and `homeroom simulate`.

Each route says how sure it is known: [N] two or more programs that work agree, [1] one does, [I] inferred, [?] looked
for and not found.
"""

from homeroom_skyward.qmlativ_simulator import SkywardQmlativSimulator
from homeroom_skyward.sms_simulator import SkywardSmsSimulator

__all__ = ["SkywardQmlativSimulator", "SkywardSmsSimulator"]

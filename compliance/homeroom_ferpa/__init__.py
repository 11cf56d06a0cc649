"""What FERPA (34 CFR Part 99) asks of a school's records, enforced where the data flow and provable afterwards.

log/        the tamper-evident log: Merkle tree, checkpoints, proofs, receipts, the verifier
access/     who may see whose records and why; consent, directory information, the ledger of disclosures
rights/     inspection, amendment, hearing, retention, erasure
watch/      unusual reading and exports, incidents, the clocks of a breach
reports/    anonymised figures, the compliance report
research/   study agreements and extracts with record codes
"""

from homeroom_ferpa.plugin import Ferpa, FerpaSettings

__all__ = ["Ferpa", "FerpaSettings"]

"""The tamper-evident log: a Merkle tree over the audit rows, signed checkpoints, proofs and receipts."""

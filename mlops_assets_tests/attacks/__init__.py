"""Attacks on approvals and on the audit log: named ones, and generated ones in any number."""

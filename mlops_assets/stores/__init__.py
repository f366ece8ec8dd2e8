"""The stores of a home: which adapter serves which port, by backend.

Adapters load here, inside functions, as in `resources`, which puts the stores together.
"""

"""Blobs, workspaces, endpoints and monitors of Azure."""

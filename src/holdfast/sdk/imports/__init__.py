"""Bringing in what other systems hold. A package a system; each only reads its source and writes by operations."""

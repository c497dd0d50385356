"""The gallery: small models, each trained, drawn and measured in one file; ``python -m examples.sine`` runs one."""

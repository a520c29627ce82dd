"""Reading BPMN 2.0 XML: hardened parsing, models to compiled definitions, precise refusals.

Knows the kernel's elements by its registry alone; must not know storage, transport or other services.
"""

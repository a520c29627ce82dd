"""The engine service: process definitions, process instances, tasks and jobs.

Meets other services through their stubs alone; `service.py` is its front door.
"""

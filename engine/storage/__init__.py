"""How the engine's state is kept: tables, migrations, loading and flushing instance trees, jobs, outbox.

Implements the ports of `engine.app.unit_of_work`; must not know rpc, effects or jobs, nor what a BPMN element does.
"""

"""One file for each BPMN element: what it reads, its checks, its behaviour. Found by `engine.kernel.registry`."""

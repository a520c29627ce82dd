"""What notify needs of other systems, behind the ports of its use cases."""

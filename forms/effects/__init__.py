"""What forms needs of other systems, behind the ports of its use cases."""

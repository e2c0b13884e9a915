"""Drawing: the engine on arrays, the field with labels."""

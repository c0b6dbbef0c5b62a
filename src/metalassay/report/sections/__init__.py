"""What the report says, section by section; no section knows a renderer."""

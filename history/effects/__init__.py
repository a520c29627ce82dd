"""The bus: what it carries is decoded here and handed on."""

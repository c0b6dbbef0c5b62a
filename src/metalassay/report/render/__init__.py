"""Renderers of the report: Markdown, HTML, SVG and the summary for CI. No renderer knows a section."""

"""How the report is written: Markdown, HTML, SVG and the pages of CI; no renderer knows a section."""

"""What a person reads: the table "as claimed / as measured", on the terminal, as Markdown and JSON, and as a page.

For `commands` and `cli`. Words and layout only: every number comes from `results`, `verdict` and `nightly`. Whatever a model
or a task wrote passes `text.plain` or Jinja's escaping on its way out.
"""

"""The `crystalgen` command: notebooks run by papermill, result cards, and the library's builder."""

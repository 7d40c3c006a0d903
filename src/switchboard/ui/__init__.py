"""The page and the API: only here is Gradio imported."""
